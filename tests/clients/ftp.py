"""An FTP server with one file, for programs that may send FTP to an HTTP proxy."""
import socket
import socketserver
import threading

ANSWERS = {"USER": "331 password", "PASS": "230 logged in", "PWD": '257 "/"', "CWD": "250 changed", "TYPE": "200 set",
           "SIZE": "213 6", "MDTM": "213 20260101000000", "QUIT": "221 bye"}


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        self.say("220 ready")
        data = None
        for line in self.rfile:
            verb = line.split()[0].decode().upper()
            if verb == "EPSV":
                data = socket.create_server((self.server.server_address[0], 0))
                self.say(f"229 passive (|||{data.getsockname()[1]}|)")
            elif verb == "RETR" and data:
                self.say("150 follows")
                with data, data.accept()[0] as connection:
                    connection.sendall(b"hello\n")
                self.say("226 complete")
            else:
                self.say(ANSWERS.get(verb, "502 unknown"))

    def say(self, line):
        self.wfile.write(line.encode() + b"\r\n")


def serve(address):
    server = socketserver.ThreadingTCPServer((address, 21), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
