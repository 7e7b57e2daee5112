# Sourced: Dask's messages are pickles, and whoever can send one runs code as you. On a network with other users,
# only who holds this key may. Every process of ours needs these variables; the key stays in your home folder.
LAMPS_TLS=${LAMPS_TLS:-$HOME/.lamps/tls}
(
    umask 077 # in here alone: colleagues may read the curves
    mkdir -p "$LAMPS_TLS"
    exec 9> "$LAMPS_TLS/lock"
    flock 9
    [ -s "$LAMPS_TLS/cert.pem" ] || openssl req -x509 -newkey rsa:3072 -nodes -days 3650 -subj /CN=lamps \
        -keyout "$LAMPS_TLS/key.pem" -out "$LAMPS_TLS/cert.pem" 2> "$LAMPS_TLS/openssl.log"
)
export DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION=true
export DASK_DISTRIBUTED__COMM__TLS__CA_FILE=$LAMPS_TLS/cert.pem
for role in SCHEDULER WORKER CLIENT; do
    export "DASK_DISTRIBUTED__COMM__TLS__${role}__CERT=$LAMPS_TLS/cert.pem"
    export "DASK_DISTRIBUTED__COMM__TLS__${role}__KEY=$LAMPS_TLS/key.pem"
done
