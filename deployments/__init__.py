"""How this project runs as a service: server, workers, deployments and automations."""
