"""The programs: each row of the table, with its commands.

A command prints the answer and exits with 0 if and only if it received one. `{url}` and the other names in `clients.py` are
replaced in it.
"""
from collections import namedtuple

# `commands` maps a column to a scheme and a command. `needs` lists the executables and files that they use.
Row = namedtuple("Row", "section name commands needs")

TLS, CLEAR, ALL = "over TLS", "in the clear", "with `--all`"
NODES = ("20", "22", "24")


def columns(version):
    """Returns the columns of the table; for Node, those of one version."""
    return [f"{version}, {column}" if version else column for column in (TLS, CLEAR, ALL)]


def commands_of(row, column):
    """Returns the schemes and commands of a row whose outcome a column has: with `--all`, those of both other columns."""
    if not column.endswith(ALL):
        return [row.commands[column]] if column in row.commands else []
    return [command for key, command in row.commands.items() if key.rpartition(", ")[0] == column.rpartition(", ")[0]]


def columns_of(row):
    """Returns the columns in which a row has an outcome."""
    versions = NODES if row.section == "Node" else [None]
    return [column for version in versions for column in columns(version) if commands_of(row, column)]


def rows():
    return [*commands(), *python(), *other_languages(), *browsers(), *node()]


def both(*command):
    return {TLS: ("https", command), CLEAR: ("http", command)}


def websocket(*command):
    return {TLS: ("wss", command), CLEAR: ("ws", command)}


def tls(*command):
    return {TLS: ("https", command)}


def clear(*command):
    return {CLEAR: ("http", command)}


def commands():
    def row(name, commands, *needs):
        programs = {command[0] for _, command in commands.values()}
        return Row("Commands", name, commands, needs or tuple(programs))

    yield row("curl", both("curl", "-sSf", "{url}"))
    yield row("curl, ftp://", {CLEAR: ("ftp", ("curl", "-sSf", "{url}"))})
    yield row("wget", both("wget", "-qO-", "{url}"))
    yield row("wget, password in the URL", clear("wget", "-qO-", "{url_with_password}"))
    yield row("wget2", both("wget2", "-qO-", "{url}"))
    yield row("aria2", both("sh", "-c", ARIA2, "{url}"), "aria2c")
    yield row("aria2, password in the URL", clear("sh", "-c", ARIA2, "{url_with_password}"), "aria2c")
    yield row("axel", both("sh", "-c", 'rm -f file; axel -q -o file "$0" && cat file', "{url}"), "axel")
    yield row("lftp", both("lftp", "-c", "set net:max-retries 1; set net:timeout 10; cat {url}"))
    yield row("HTTPie", both("http", "--ignore-stdin", "--body", "--check-status", "{url}"))
    yield row("lynx", both("lynx", "-source", "{url}"))
    yield row("w3m", both("sh", "-c", 'w3m -dump_source "$0" | grep hello', "{url}"), "w3m")
    yield row("elinks", both("sh", "-c", 'elinks -dump "$0" | grep hello', "{url}"), "elinks")
    yield row("openssl s_client", tls("sh", "-c", S_CLIENT), "openssl")
    yield row("git ls-remote", both("git", "ls-remote", "{url}/repo.git"))
    yield row("apt-get update", both("sh", "-c", APT, "{url}"), "apt-get")
    yield row("pip download", {TLS: ("https", ("sh", "-c", PIP, "{url}")),
                               CLEAR: ("http", ("sh", "-c", PIP, "{url}", "--trusted-host", "{host}"))}, "{python}")
    yield row("uv pip compile", both("sh", "-c", UV, "{url}"), "{uv}", "{python}")
    yield row("npm view", both("npm", "view", "tiny", "version", "--registry", "{url}/npm/"))
    for name in ("yarn", "pnpm"):
        command = f"{{js}}/node_modules/.bin/{name}"
        verb = {"yarn": "info", "pnpm": "view"}[name]
        yield row(f"{name} {verb}", both(command, "--silent", verb, "tiny", "version", "--registry", "{url}/npm/"), command)
    yield row("cargo search", both("cargo", "search", "-q", "--index", "sparse+{url}/cargo/", "tiny"))
    yield row("go list, modules", both("sh", "-c", 'cd / && GOPROXY="$0" GOSUMDB=off go list -m -versions a.test/tiny', "{url}"),
              "go")


ARIA2 = 'aria2c -q --async-dns=false --max-tries=1 --allow-overwrite=true -o file "$0" && cat file'
PIP = ('url=$0; {python} -m pip download -q --no-deps --no-cache-dir --disable-pip-version-check "$@" -i $url/simple/ tiny'
       ' && ls *.whl')
# uv has its own roots, and trusts the origin only with this variable.
UV = ('echo tiny | SSL_CERT_FILE=${SSL_CERT_FILE:-{ca}} {uv} pip compile -q --no-header --no-annotate --no-cache --python {python}'
      ' --index-url $0/simple/ -')
S_CLIENT = (r"printf 'GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n' |"
            " openssl s_client -quiet -ign_eof -verify_return_error -connect {host}:443 2>/dev/null | grep hello")
APT = """
mkdir -p state/lists/partial cache/archives/partial
echo "deb [trusted=yes] $0/apt ./" >sources.list
options="-o Dir::State=$PWD/state -o Dir::Cache=$PWD/cache -o Dir::Etc::sourceparts=- -o Dir::Etc::sourcelist=$PWD/sources.list"
apt-get $options -qq -o APT::Sandbox::User=root -o Acquire::AllowInsecureRepositories=true update >/dev/null
apt-cache $options dumpavail | grep tiny
"""


def python():
    def row(name, commands, *modules):
        return Row("Python", name, commands, ("{python}", *(f"{{modules}}/{module}" for module in modules)))

    def code(text, make=both):
        return make("{python}", "-c", "import sys; url = sys.argv[1]\n" + text, "{url}")

    yield row("urllib", code("import urllib.request as r; print(r.urlopen(url).read().decode())"))
    yield row("http.client", code("""
import http.client, urllib.parse
parts = urllib.parse.urlsplit(url)
kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
connection = kind(parts.netloc)
connection.request("GET", parts.path)
print(connection.getresponse().read().decode())"""))
    yield row("requests", code("import requests; print(requests.get(url).text)"), "requests")
    yield row("requests, naming certifi's file", code(
        "import requests, certifi; print(requests.get(url, verify=certifi.where()).text)", tls), "requests")
    yield row("httpx", code("import httpx; print(httpx.get(url).text)"), "httpx")
    yield row("urllib3", code("import urllib3; print(urllib3.PoolManager().request('GET', url).data.decode())"), "urllib3")
    yield row("aiohttp", code(AIOHTTP.replace("OPTIONS", "")), "aiohttp")
    yield row("aiohttp, trust_env=True", code(AIOHTTP.replace("OPTIONS", "trust_env=True")), "aiohttp")
    yield row("aiohttp, trust_env=True, WebSocket", code(AIOHTTP_WEBSOCKET, websocket), "aiohttp")
    yield row("pycurl, from PyPI", code(PYCURL), "pycurl")
    yield Row("Python", "pycurl, from Debian", both("/usr/bin/python3", "-c", "import sys; url = sys.argv[1]\n" + PYCURL, "{url}"),
              ("/usr/bin/python3", "/usr/lib/python3/dist-packages/pycurl"))
    yield row("websockets", code("""
import websockets.sync.client
with websockets.sync.client.connect(url) as connection:
    print(connection.recv())
    connection.send("echo")
    print(connection.recv())""", websocket), "websockets")
    yield row("websocket-client", code("""
import websocket
connection = websocket.create_connection(url)
print(connection.recv())
connection.send("echo")
print(connection.recv())
connection.close()""", websocket), "websocket")
    call = """import grpc
kind = sys.argv[2]
channel = grpc.insecure_channel(url) if kind == "http" else grpc.secure_channel(url, grpc.ssl_channel_credentials())
print(channel.unary_unary("/peer.Peer/Echo")(b"hello", timeout=20))"""
    start = "import sys; url = sys.argv[1]\n" + call
    yield row("gRPC", {TLS: ("https", ("{python}", "-c", start, "local.test:{grpc_tls}", "https")),
                       CLEAR: ("http", ("{python}", "-c", start, "local.test:{grpc_clear}", "http"))}, "grpc")


AIOHTTP = """
import aiohttp, asyncio
async def main():
    async with aiohttp.ClientSession(OPTIONS) as session:
        async with session.get(url) as response:
            print(await response.text())
asyncio.run(main())"""
AIOHTTP_WEBSOCKET = """
import aiohttp, asyncio
async def main():
    async with aiohttp.ClientSession(trust_env=True) as session:
        async with session.ws_connect(url) as connection:
            print(await connection.receive_str())
            await connection.send_str("echo")
            print(await connection.receive_str())
asyncio.run(main())"""
PYCURL = """
import pycurl
curl = pycurl.Curl()
curl.setopt(curl.URL, url)
print(curl.perform_rs())"""


def other_languages():
    def row(name, commands, *needs):
        programs = {command[0] for _, command in commands.values()}
        return Row("Other languages", name, commands, needs or tuple(programs))

    perl_print = 'die $r->status_line unless $r->is_success; print $r->content'
    yield row("Go, net/http", both("{go_client}", "{url}"))
    yield row("Java, HttpClient", both("java", "-cp", "{java_classes}", "Client", "new", "{url}"), "java", "{java_classes}")
    yield row("Java, HttpURLConnection", both("java", "-cp", "{java_classes}", "Client", "old", "{url}"), "java", "{java_classes}")
    fetch = "console.log(await (await fetch(process.env.ADDRESS)).text())"
    for name, command in (("Deno", "deno eval"), ("Bun", "bun -e")):
        yield row(f"{name}, fetch", both("sh", "-c", f"ADDRESS=$0 exec {{js}}/node_modules/.bin/{command} '{fetch}'", "{url}"),
                  f"{{js}}/node_modules/{name.lower()}")
    yield row("PHP, curl", both("php", "-r", """
$curl = curl_init($argv[1]);
curl_setopt($curl, CURLOPT_RETURNTRANSFER, true);
$answer = curl_exec($curl);
if ($answer === false) { fwrite(STDERR, curl_error($curl) . PHP_EOL); exit(1); }
echo $answer;""", "{url}"))
    yield row("PHP, file_get_contents", both(
        "php", "-r", "$answer = file_get_contents($argv[1]); if ($answer === false) exit(1); echo $answer;", "{url}"))
    yield row("Perl, LWP", both("perl", "-MLWP::UserAgent", "-e", f"$r = LWP::UserAgent->new->get(shift); {perl_print}", "{url}"))
    yield row("Perl, LWP, password in the URL", clear(
        "perl", "-MLWP::UserAgent", "-e", f"$r = LWP::UserAgent->new->get(shift); {perl_print}", "{url_with_password}"))
    yield row("Perl, HTTP::Tiny", both(
        "perl", "-MHTTP::Tiny", "-e",
        "$r = HTTP::Tiny->new(verify_SSL => 1)->get(shift); die $r->{content} unless $r->{success}; print $r->{content}", "{url}"))
    yield row("Ruby, Net::HTTP", both("ruby", "-rnet/http", "-e", "puts Net::HTTP.get(URI(ARGV[0]))", "{url}"))
    yield row("Ruby, open-uri", both("ruby", "-ropen-uri", "-e", "puts URI.open(ARGV[0]).read", "{url}"))


def browsers():
    def row(name, commands, *needs):
        return Row("Browsers", name, commands, needs or ("chromium",))

    yield row("Chromium", both("sh", "-c", NSS + f'chromium {" ".join(CHROMIUM)} --user-data-dir=$PWD/profile'
                               ' --dump-dom "$0" 2>/dev/null | grep -o "hello.*GET"', "{url}"), "chromium", "certutil")
    for library, launch in (("Playwright", "require('playwright-core').chromium.launch"),
                            ("Puppeteer", "require('puppeteer-core').launch")):
        script = f"""
(async () => {{
  const browser = await {launch}({{executablePath: '/usr/bin/chromium', args: {CHROMIUM[1:]}}});
  try {{
    const page = await browser.newPage();
    const answer = await page.goto(process.argv[1]);
    console.log(await answer.text());
  }} finally {{
    await browser.close();
  }}
}})().catch(error => {{ console.error(error.message); process.exit(1); }});"""
        yield row(f"Chromium, started by {library}", both("sh", "-c", NSS + 'cd {js}; exec {node24} -e "$1" "$0"', "{url}", script),
                  "chromium", "certutil", "{node24}", f"{{js}}/node_modules/{library.lower()}-core")


# Chromium reads its own database of roots.
NSS = """
database=$HOME/.pki/nssdb
[ -d $database ] || {
    mkdir -p $database
    certutil -N -d sql:$database --empty-password
    certutil -A -d sql:$database -t C,, -n clients -i {ca}
}
"""
CHROMIUM = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync"]


def node():
    end = ".catch(error => { console.error(error.message); process.exit(1); })"
    builtin = "const http = require(url.split(':')[0]); "
    receive = "answer => answer.pipe(process.stdout)).on('error', error => { console.error(error.message); process.exit(1); })"

    def row(name, code, make=both, module=None, versions=NODES):
        columns = {}
        for version in versions:
            start = "const url = process.argv[1]; "
            command = ("sh", "-c", f'cd {{js}}; exec {{node{version}}} -e "$0" "$@"', start + code, "{url}")
            for column, (scheme, command) in make(*command).items():
                columns[f"{version}, {column}"] = (scheme, command)
        needs = [f"{{node{version}}}" for version in versions]
        return Row("Node", name, columns, (*needs, *([f"{{js}}/node_modules/{module}"] if module else [])))

    yield row("http, https", builtin + f"http.get(url, {receive}")
    yield row("http, https, another Host", builtin + f"http.get(url, {{headers: {{Host: 'other.test'}}}}, {receive}")
    yield row("fetch", f"fetch(url).then(answer => answer.text()).then(console.log){end}")
    yield row("undici", f"require('undici').request(url).then(answer => answer.body.text()).then(console.log){end}", both, "undici")
    for name, module in (("axios 1.6", "axios-old"), ("axios", "axios")):
        yield row(name, f"require('{module}').get(url).then(answer => console.log(answer.data)){end}", both, module)
    yield row("got", f"import('got').then(got => got.got(url).text()).then(console.log){end}", both, "got")
    yield row("node-fetch", "import('node-fetch').then(all => all.default(url)).then(answer => answer.text())"
              f".then(console.log){end}", both, "node-fetch")
    yield row("superagent", f"require('superagent').get(url).then(answer => console.log(answer.text)){end}", both, "superagent")
    yield row("request", "require('request')(url, (error, _, body) => { if (error) throw error; console.log(body); })", both,
              "request")
    yield row("needle", f"require('needle')('get', url).then(answer => console.log(answer.body.toString())){end}", both, "needle")
    yield row("http-proxy", HTTP_PROXY, both, "http-proxy")
    talk = """
let count = 0;
socket.onmessage = message => {
  console.log(String(message.data));
  if (++count === 1) socket.send('echo'); else socket.close();
};
socket.onerror = error => { console.error(error.message); process.exit(1); };"""
    yield row("ws", "const socket = new (require('ws'))(url);" + talk, websocket, "ws")
    yield row("WebSocket", "const socket = new WebSocket(url);" + talk, websocket, None, NODES[1:])


# The request to http-proxy itself is written to a socket, so that only its request to the origin may be captured.
HTTP_PROXY = """
const {createProxyServer} = require('http-proxy'), http = require('http'), net = require('net'), {pathname, origin} = new URL(url);
const proxy = createProxyServer({target: origin});
const server = http.createServer((request, answer) => proxy.web(request, answer, {}, error => {
  console.error(error.message);
  process.exit(1);
}));
server.listen(0, '127.0.0.1', () => {
  const client = net.connect(server.address().port, '127.0.0.1');
  client.write(`GET ${pathname} HTTP/1.1\\r\\nHost: other.test\\r\\nConnection: close\\r\\n\\r\\n`);
  let text = '';
  client.on('data', data => text += data).on('end', () => {
    console.log(text.split('\\r\\n\\r\\n')[1]);
    process.exit(text.startsWith('HTTP/1.1 200') ? 0 : 1);
  });
});"""
