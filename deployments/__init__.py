"""Run this project as a service: server, workers, deployments and automations."""
