#!/bin/sh
# Regenerates the CAs in this directory: `sh make.sh`, with OpenSSL 3. They are for tests only and their keys are public: never
# trust one. Each is a possible `mitmproxy-ca.pem`, valid for a hundred years so that no test expires.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat > "$work/cnf" <<CNF
[req]
distinguished_name = name
prompt = no
string_mask = utf8only
[name]
CN = mitmproxy
O = mitmproxy
[directory_name]
0.DC = example
1.DC = corp
O = Example
+OU = Issuing
CN = Example Issuing CA

[ca]
default_ca = authority
[authority]
database = $work/index
new_certs_dir = $work
rand_serial = yes
unique_subject = no
default_md = sha256
default_startdate = 20200101000000Z
default_enddate = 21200101000000Z
policy = any
[any]

[mitmproxy]
basicConstraints = critical,CA:TRUE
extendedKeyUsage = serverAuth
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[usual]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[no_key_id]
basicConstraints = critical,CA:TRUE
subjectKeyIdentifier = none
[not_a_ca]
basicConstraints = critical,CA:FALSE
subjectKeyIdentifier = hash
[no_cert_sign]
basicConstraints = critical,CA:TRUE
keyUsage = critical,digitalSignature
subjectKeyIdentifier = hash
[only_for_clients]
basicConstraints = critical,CA:TRUE
extendedKeyUsage = clientAuth
[any_purpose]
basicConstraints = critical,CA:TRUE
extendedKeyUsage = clientAuth,anyExtendedKeyUsage
[name_constraints]
basicConstraints = critical,CA:TRUE
nameConstraints = critical,permitted;DNS:corp.example
[excluded_names]
basicConstraints = critical,CA:TRUE
nameConstraints = excluded;DNS:bank.example
[critical_extension]
basicConstraints = critical,CA:TRUE
1.2.3.4 = critical,ASN1:NULL
[critical_policy]
basicConstraints = critical,CA:TRUE
certificatePolicies = critical,1.2.3.4
[path_length_0]
basicConstraints = critical,CA:TRUE,pathlen:0
keyUsage = critical,keyCertSign
CNF
: > "$work/index"

key() { # NAME ALGORITHM [OPTION]
    openssl genpkey -quiet -algorithm "$2" ${3+-pkeyopt "$3"} -out "$work/$1.key"
}
certificate() { # NAME EXTENSIONS [OPTION OF openssl ca]...
    name=$1 extensions=$2
    shift 2
    openssl req -new -key "$work/$name.key" -config "${request:-$work/cnf}" -out "$work/csr"
    openssl ca -batch -notext -preserveDN -config "$work/cnf" -extensions "$extensions" -in "$work/csr" \
        "${@:--selfsign}" -keyfile "$work/${issuer:-$name}.key" -out "$work/$name.crt" 2> "$work/log" || {
        cat "$work/log"
        exit 1
    }
}

# mitmproxy's format: the key in PKCS#1, then the certificate.
key rsa RSA rsa_keygen_bits:2048
certificate rsa mitmproxy
openssl rsa -traditional -in "$work/rsa.key" -out "$work/rsa.pkcs1" 2> /dev/null
cat "$work/rsa.pkcs1" "$work/rsa.crt" > rsa-pkcs1.pem
cat "$work/rsa.crt" "$work/rsa.key" > rsa-pkcs8-certificate-first.pem
openssl pkcs8 -topk8 -in "$work/rsa.key" -passout pass:secret -out "$work/rsa.encrypted"
cat "$work/rsa.encrypted" "$work/rsa.crt" > rsa-passphrase.pem
openssl rsa -traditional -aes128 -in "$work/rsa.key" -passout pass:secret -out "$work/rsa.encrypted" 2> /dev/null
cat "$work/rsa.encrypted" "$work/rsa.crt" > rsa-passphrase-traditional.pem

# With the blocks that `openssl ecparam -genkey` and `openssl dhparam` write, and with text around them.
key p256 EC ec_paramgen_curve:P-256
certificate p256 usual
openssl ec -in "$work/p256.key" -out "$work/p256.sec1" 2> /dev/null
{
    echo 'Bag Attributes: a test key, never trust it.'
    openssl ecparam -name prime256v1
    cat "$work/p256.sec1"
    openssl x509 -in "$work/p256.crt" -text
    openssl genpkey -genparam -algorithm DH -pkeyopt group:ffdhe2048 -quiet | openssl pkeyparam
} > p256-sec1-among-others.pem
cat "$work/p256.crt" "$work/p256.key" > p256-pkcs8-certificate-first.pem

key p384 EC ec_paramgen_curve:P-384
certificate p384 usual
openssl ec -in "$work/p384.key" -out "$work/p384.sec1" 2> /dev/null
cat "$work/p384.crt" "$work/p384.sec1" > p384-sec1-certificate-first.pem
cat "$work/p384.key" "$work/p384.crt" > p384-pkcs8.pem

key ed25519 ED25519
certificate ed25519 usual
cat "$work/ed25519.key" "$work/ed25519.crt" > ed25519.pem

# An issuing CA named as by a directory service: DC twice, and two attributes in one RDN. Its root comes first.
key issuing EC ec_paramgen_curve:P-256
sed 's/^distinguished_name = name$/distinguished_name = directory_name/' "$work/cnf" > "$work/directory.cnf"
request="$work/directory.cnf" issuer=p384 certificate issuing usual -cert "$work/p384.crt"
cat "$work/p384.crt" "$work/issuing.key" "$work/issuing.crt" > issuing-with-root.pem

# CAs that are rejected, and unusual ones that are not.
key p521 EC ec_paramgen_curve:P-521
certificate p521 usual
cat "$work/p521.key" "$work/p521.crt" > p521.pem
for variant in no_key_id not_a_ca no_cert_sign only_for_clients any_purpose name_constraints excluded_names \
    critical_extension critical_policy path_length_0; do
    certificate p256 "$variant"
    cat "$work/p256.key" "$work/p256.crt" > "$(echo "$variant" | tr _ -).pem"
done
# `openssl ca` cannot write these two: an X.509 version 1 certificate, and one with an empty subject.
openssl req -new -key "$work/p256.key" -config "$work/cnf" -out "$work/csr"
openssl x509 -req -in "$work/csr" -signkey "$work/p256.key" -days 36500 -out "$work/p256.crt" 2> /dev/null
cat "$work/p256.key" "$work/p256.crt" > version-1.pem
openssl req -x509 -key "$work/p256.key" -config "$work/cnf" -subj / -extensions usual -days 36500 -out "$work/p256.crt"
cat "$work/p256.key" "$work/p256.crt" > no-subject.pem
