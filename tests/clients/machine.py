"""A private view of this machine for the programs: only loopback, two hosts, and a CA that every program trusts.

The script runs itself again in namespaces of its own (`unshare`). There it mounts copies of the hosts file and of the root stores over
the originals. So the programs need no options to trust the origins, as they need none on the Internet,
and nothing on the machine itself changes.
"""
import fcntl
import glob
import os
import shutil
import socket
import struct
import subprocess
import sys

INSIDE = "SPECTRAL_CLIENTS_INSIDE"

# Addresses for documentation. Some programs use no proxy for 127.0.0.1.
HOSTS = {"origin.test": "192.0.2.1", "other.test": "192.0.2.2", "local.test": "127.0.0.1"}


def enter():
    """Returns inside the namespaces. Outside, replaces this process by one that runs inside."""
    if os.environ.pop(INSIDE, None):
        return
    # Processes of a client that are left end with the PID namespace.
    unshare = ["unshare", "--mount", "--net", "--pid", "--mount-proc", "--fork", "--kill-child"]
    if os.geteuid() != 0:
        unshare.append("--map-root-user")
    if subprocess.run([*unshare, "mount", "--bind", "/etc/hostname", "/etc/hosts"], stderr=subprocess.DEVNULL).returncode:
        sys.exit("cannot create namespaces with unshare: run this as root")
    os.environ[INSIDE] = "1"
    os.execvp(unshare[0], [*unshare, sys.executable, *sys.argv])


def prepare(folder, python):
    """Makes the CA and mounts the changed files. Returns the paths of the CA, the origin's certificate and its key."""
    start_loopback()
    names = "".join(f"{address} {name}\n" for name, address in HOSTS.items())
    bind(write(folder, "hosts", f"127.0.0.1 localhost {socket.gethostname()}\n::1 localhost\n{names}"), "/etc/hosts")
    ca, certificate, key = make_certificates(folder)
    with open(ca, encoding="ascii") as file:
        pem = file.read()
    mount_system_store(folder, ca, pem)
    packaged = glob.glob(f"{python}/lib/*/site-packages/**/cacert.pem", recursive=True)
    for number, roots in enumerate(packaged):
        with open(roots, encoding="utf-8") as file:
            bind(write(folder, f"packaged-{number}.pem", file.read() + "\n" + pem), roots)
    return ca, certificate, key


def start_loopback():
    """Starts the interface `lo` and adds the addresses to it, as ip(8) does. Nothing leaves the network namespace."""
    set_flags, set_address, up_and_running = 0x8914, 0x8916, 0x41
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, set_flags, struct.pack("16sH14x", b"lo", up_and_running))
        for number, address in enumerate(address for address in HOSTS.values() if not address.startswith("127.")):
            value = struct.pack("H2x4s8x", socket.AF_INET, socket.inet_aton(address))
            fcntl.ioctl(any_socket, set_address, struct.pack("16s16s", b"lo:%d" % number, value))


def make_certificates(folder):
    ca, ca_key, certificate, key, request = (
        os.path.join(folder, name) for name in ("ca.pem", "ca.key", "origin.pem", "origin.key", "origin.csr")
    )
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *curve, "-keyout", ca_key, "-out", ca, "-days", "30", "-subj", "/CN=Clients test CA",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    names = ",".join(f"DNS:{name}" for name in HOSTS)
    extensions = write(folder, "extensions", f"subjectAltName={names}\nbasicConstraints=critical,CA:FALSE\n"
                       "keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n"
                       "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n")
    openssl("req", *curve, "-keyout", key, "-out", request, "-subj", "/CN=origin.test")
    openssl("x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-days", "20", "-extfile", extensions,
            "-out", certificate)
    return ca, certificate, key


def mount_system_store(folder, ca, pem):
    """Adds the CA to the file and the folder of the system store, and to Java's."""
    store = os.path.join(folder, "certs")
    shutil.copytree("/etc/ssl/certs", store, symlinks=True)
    with open(os.path.join(store, "ca-certificates.crt"), "a", encoding="ascii") as file:
        file.write(pem)
    digest = openssl("x509", "-in", ca, "-noout", "-hash").strip()
    shutil.copy(ca, os.path.join(store, digest + ".0"))
    java = os.path.join(store, "java/cacerts")
    if shutil.which("keytool") and os.path.exists(java):
        subprocess.run(["keytool", "-importcert", "-noprompt", "-storepass", "changeit", "-alias", "clients", "-keystore", java,
                        "-file", ca], check=True, capture_output=True)
    bind(store, "/etc/ssl/certs")


def openssl(*arguments):
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, text=True).stdout


def bind(source, target):
    subprocess.run(["mount", "--bind", source, target], check=True)


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path
