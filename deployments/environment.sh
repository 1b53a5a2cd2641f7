# Set the environment of the server, the workers and the commands of one host; sourced by `start` and `env`.
# Permanent settings of a host belong into settings.env in HARVEST_HOME, one NAME=value a line.
# Secrets are made once, kept in a file of mode 600, and passed only by environment.

# Make the file of secrets. `start` and any number of `env` may run this in parallel: the first file stays, and all of
# them read it. The file is flushed to disk before the database gets the password.
make_secrets() {
    local made
    random() { head -c "$1" /dev/urandom | base64 -w 0 | tr '+/' '-_'; }
    made=$(mktemp "$HARVEST_HOME/secrets.XXXXXX") # has mode 600
    {
        echo "HARVEST_DATABASE_PASSWORD=$(random 24)"
        echo "PREFECT_API_AUTH_STRING=harvest:$(random 24)"
        echo "PREFECT_SERVER_ENCRYPTION_KEY=$(random 32)"
    } >"$made"
    sync "$made"
    mv -n "$made" "$HARVEST_HOME/secrets.env" || true # some versions of mv fail if the file exists
    rm -f "$made"
    sync "$HARVEST_HOME"
}

# Every program runs as the user who starts the service, and whoever may start runs can have that user read files.
if [[ $(id -u) == 0 ]]; then
    echo "You are root" >&2
    echo "  rule: The service runs as a user of its own, so that a run can do no more than that user" >&2
    echo "  remedy: useradd --system --home-dir /var/lib/harvest --create-home harvest, then the same command as" >&2
    echo "          that user (su -s /bin/bash harvest). Files of an earlier start by root: chown -R harvest: FOLDER" >&2
    exit 2
fi

set -a
HARVEST_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
HARVEST_HOME=${HARVEST_HOME:-$HOME/.harvest}
if [[ -f $HARVEST_HOME/settings.env ]]; then
    source "$HARVEST_HOME/settings.env"
fi

HARVEST_BIN=${HARVEST_BIN:-$HARVEST_ROOT/.venv/bin}
HARVEST_STORE=${HARVEST_STORE:-$HARVEST_HOME/store}
# The torch.export programs that may be run. A program can run any code, so the operator puts each of them here.
HARVEST_PROGRAMS=${HARVEST_PROGRAMS:-$HARVEST_HOME/programs}
# What runs may use: stores beside HARVEST_STORE, places of images and classifiers, and schedulers of Dask.
HARVEST_STORES=${HARVEST_STORES:-}
HARVEST_SOURCES=${HARVEST_SOURCES:-$HARVEST_HOME/sources}
HARVEST_SCHEDULERS=${HARVEST_SCHEDULERS:-}
HARVEST_HOST=${HARVEST_HOST:-127.0.0.1}
HARVEST_PORT=${HARVEST_PORT:-4200}
HARVEST_DATABASE_PORT=${HARVEST_DATABASE_PORT:-5433}
HARVEST_REPORTS_PORT=${HARVEST_REPORTS_PORT:-4280}
HARVEST_METRICS_PORT=${HARVEST_METRICS_PORT:-4281}
HARVEST_URL=${HARVEST_URL:-http://127.0.0.1:$HARVEST_PORT}
[[ $HARVEST_STORE == *://* ]] || HARVEST_REPORTS_URL=${HARVEST_REPORTS_URL:-http://127.0.0.1:$HARVEST_REPORTS_PORT}
HARVEST_USER=$(id -un)
# Seconds for which the files of a new date must be unchanged before they are scored.
HARVEST_SETTLE_SECONDS=${HARVEST_SETTLE_SECONDS:-60}
# Whether the worker of the pool `gpu` runs on this host too.
HARVEST_GPU_HERE=${HARVEST_GPU_HERE:-true}
if [[ -z ${HARVEST_POSTGRES_BIN:-} ]]; then
    # The newest version, or the one that made the database: another major version cannot read it.
    HARVEST_POSTGRES_BIN=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1 || true)
    if [[ -r $HARVEST_HOME/postgres/PG_VERSION ]]; then
        HARVEST_POSTGRES_BIN=/usr/lib/postgresql/$(cat "$HARVEST_HOME/postgres/PG_VERSION")/bin
    fi
fi

mkdir -p "$HARVEST_HOME/tmp"
HARVEST_HOME=$(realpath "$HARVEST_HOME")
[[ $HARVEST_STORE == *://* ]] || HARVEST_STORE=$(realpath -m "$HARVEST_STORE")
HARVEST_PROGRAMS=$(realpath -m "$HARVEST_PROGRAMS")
[[ -f $HARVEST_HOME/secrets.env ]] || make_secrets
source "$HARVEST_HOME/secrets.env"

# Not in /tmp: there all Prefect workers share one folder, which belongs to the first user who starts a worker.
TMPDIR=$HARVEST_HOME/tmp
# Threads of a run share one heap, so that training can keep the memory of a step for the next (tasks/heap.py).
MALLOC_ARENA_MAX=${MALLOC_ARENA_MAX:-1}
PREFECT_HOME=$HARVEST_HOME/prefect
PREFECT_API_URL=${HARVEST_API_URL:-http://127.0.0.1:$HARVEST_PORT/api}
PREFECT_UI_URL=$HARVEST_URL
PREFECT_SERVER_API_HOST=$HARVEST_HOST
PREFECT_SERVER_API_PORT=$HARVEST_PORT
PREFECT_SERVER_API_AUTH_STRING=$PREFECT_API_AUTH_STRING
PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED=true
PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS=$HARVEST_URL
PREFECT_SERVER_UI_API_URL=$HARVEST_URL/api
PREFECT_SERVER_UI_V2_ENABLED=false
PREFECT_SERVER_DATABASE_CONNECTION_URL=postgresql+asyncpg://harvest:$HARVEST_DATABASE_PASSWORD@127.0.0.1:$HARVEST_DATABASE_PORT/harvest
# On disk, because leases in memory are lost with the server, and a slot without its lease is never freed.
PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE=prefect.server.concurrency.lease_storage.filesystem
# Shorter waiting for events that arrive out of order (see deployments/ordering.py).
PREFECT_SERVER_EVENTS_CAUSAL_ORDERING=deployments.ordering
# Ended runs with their logs and artifacts are kept for this time, else the database grows for ever. Tables stay.
HARVEST_KEEP_RUNS_DAYS=${HARVEST_KEEP_RUNS_DAYS:-400}
PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED=events,flow_runs
PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD=$((HARVEST_KEEP_RUNS_DAYS * 86400))
PREFECT_SERVER_ANALYTICS_ENABLED=false
DO_NOT_TRACK=1
# Seconds, the least that Prefect accepts; HARVEST_ZOMBIE_SECONDS covers three heartbeats.
PREFECT_FLOWS_HEARTBEAT_FREQUENCY=30
PYTHONUNBUFFERED=1
set +a
