# Make the database of the service; sourced by `start` and `restore` after environment.sh.

# Make the database. The role `harvest` owns it and is the only role that can log in, from this host, with a password.
# The server's first start adds the tables and the extension pg_trgm, which is part of Debian's package.
# The commands go to PostgreSQL in single-user mode, so that no password is on a command line.
make_database() {
    local folder=$HARVEST_HOME/postgres
    rm -rf "$folder.new"
    install -d -m 700 "$folder.new"
    "$HARVEST_POSTGRES_BIN/initdb" --pgdata "$folder.new" --username postgres --encoding UTF8 \
        --locale C.UTF-8 --auth reject >/dev/null
    tee "$folder.new/pg_hba.conf" >/dev/null <<<"host harvest harvest 127.0.0.1/32 scram-sha-256"
    "$HARVEST_POSTGRES_BIN/postgres" --single -j -D "$folder.new" -c log_min_messages=fatal postgres \
        >/dev/null <<<"CREATE ROLE harvest LOGIN PASSWORD '$HARVEST_DATABASE_PASSWORD';

CREATE DATABASE harvest OWNER harvest;"
    mv "$folder.new" "$folder"
}
