"""Makes one attempt from inside a guest and prints the result: OUTCOME, milliseconds, details, separated by tabs.

It uses no proxy and only Python's standard library. An outcome is a short word, which the caller compares."""

import os
import select
import socket
import ssl
import struct
import sys
import time

GATEWAY, RESOLVER, GUEST = "10.0.2.2", "10.0.2.3", "10.0.2.15"
GATEWAY_MAC = bytes([0x52, 0x55, 10, 0, 2, 2])
MAC = bytes([0x52, 0x54, 0, 0x12, 0x34, 0x56])
# Longer than any refusal takes under software emulation.
PATIENCE = 5.0


def errors(error):
    """Names the kernel's error for a connection or a datagram."""
    names = {ConnectionRefusedError: "refused", ConnectionResetError: "reset", TimeoutError: "silent"}
    for kind, name in names.items():
        if isinstance(error, kind):
            return name
    return "unreachable" if isinstance(error, OSError) else type(error).__name__


def tcp(host, port, family=socket.AF_INET):
    """Connects and reads a line."""
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.settimeout(PATIENCE)
        try:
            s.connect((host, int(port)))
            return "open", s.recv(100).decode("latin-1").strip()
        except OSError as error:
            return errors(error), str(error)


def each(kind, *targets):
    """The same for several HOST:PORT: all different outcomes, separated by +."""
    outcomes = {}
    for target in targets:
        outcomes.setdefault(ACTIONS[kind](*target.rsplit(":", 1))[0], []).append(target)
    detail = "; ".join(f"{outcome}: {', '.join(found)}" for outcome, found in sorted(outcomes.items()))
    return "+".join(sorted(outcomes)), detail


def tcp6(host, port):
    return tcp(host, port, socket.AF_INET6)


def udp(host, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(PATIENCE)
        try:
            s.connect((host, int(port)))
            s.send(b"x" * 40)
            return "open", s.recv(100).decode("latin-1")
        except OSError as error:
            return errors(error), str(error)


TYPES = {"A": 1, "NS": 2, "TXT": 16, "AAAA": 28, "SVCB": 64, "HTTPS": 65, "ANY": 255}
CODES = {0: "empty", 1: "formerr", 2: "servfail", 3: "nxdomain", 5: "refused"}


def dns(kind, name):
    """Asks the sandbox's resolver: `nxdomain`, `empty`, `address`, or another code."""
    question = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
    edns = b"\0\0\x29\x04\xd0\0\0\0\0\0\0"
    message = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\x01" + question + struct.pack(">HH", TYPES[kind], 1) + edns
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(PATIENCE)
        try:
            s.connect((RESOLVER, 53))
            s.send(message)
            answer = s.recv(2000)
        except OSError as error:
            return errors(error), str(error)
    answers = struct.unpack(">H", answer[6:8])[0]
    if answers:
        # Its TTL is one second, and four bytes of address follow.
        start = answer.index(b"\0\0\0\x01\0\x04") + 6
        return "address", socket.inet_ntoa(answer[start : start + 4])
    return CODES.get(answer[3] & 15, "code"), f"{len(answer)} bytes"


def address(name):
    outcome, found = dns("A", name)
    if outcome != "address":
        raise SystemExit(f"{outcome}\t0\t{name}")
    return found


def named(name, port):
    """Connects to the address of a name."""
    return tcp(address(name), port)


def http(name, first, host):
    """Sends a plain request to a name on port 80; returns the status."""
    with socket.create_connection((address(name), 80), PATIENCE) as s:
        s.settimeout(PATIENCE)
        try:
            s.sendall(f"{first} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            line = s.recv(200).split(b"\r\n")[0].decode("latin-1").split(" ")
            return (line[1], " ".join(line)) if len(line) > 1 else ("reset", "closed without an answer")
        except OSError as error:
            return errors(error), str(error)


def tls(name, server_name):
    """Sends a hello for `server_name` (`-`: none) to a name on port 443: `alert`, or `open` if a server received it."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    to_server = ssl.MemoryBIO()
    hello = context.wrap_bio(ssl.MemoryBIO(), to_server, server_hostname=None if server_name == "-" else server_name)
    try:
        hello.do_handshake()
    except ssl.SSLWantReadError:
        pass
    with socket.create_connection((address(name), 443), PATIENCE) as s:
        s.settimeout(PATIENCE)
        try:
            s.sendall(to_server.read())
            answer = s.recv(100)
        except OSError as error:
            return errors(error), str(error)
    if answer[:1] == b"\x15":
        return "alert", answer.hex()
    return ("open", answer.decode("latin-1").strip()) if answer else ("reset", "closed without an answer")


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def ip(source, to, protocol, payload, fragment=0):
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 7, fragment, 64, protocol, 0)
    head += socket.inet_aton(source) + socket.inet_aton(to)
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload


def syn(source, to, port, source_port=50007):
    segment = struct.pack(">HHIIBBHHH", source_port, port, 1, 0, 5 << 4, 2, 1024, 0, 0)
    pseudo = socket.inet_aton(source) + socket.inet_aton(to) + struct.pack(">BBH", 0, 6, len(segment))
    return segment[:16] + struct.pack(">H", checksum(pseudo + segment)) + segment[18:]


# linux/if_packet.h and linux/if.h.
SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_MR_PROMISC, IFF_PROMISC = 263, 1, 1, 0x100


def card():
    """The guest's network card, as a raw socket that also receives frames for other stations: answers to forged frames."""
    name = next(name for _, name in socket.if_nameindex() if os.path.exists(f"/sys/class/net/{name}/device"))
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    s.bind((name, 0))
    everything = struct.pack("IHH8s", socket.if_nametoindex(name), PACKET_MR_PROMISC, 0, b"")
    s.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, everything)
    with open(f"/sys/class/net/{name}/flags", encoding="ascii") as file:
        if not int(file.read(), 16) & IFF_PROMISC:
            raise SystemExit(f"deaf\t0\t{name} hears only what is meant for itself")
    return s, name


def frame(packet, mac=MAC, kind=0x0800, to=GATEWAY_MAC):
    return to + mac + struct.pack(">H", kind) + packet


def answered(s, wanted, patience=2.0):
    """Waits for a frame that `wanted` accepts."""
    deadline = time.monotonic() + patience
    while (left := deadline - time.monotonic()) > 0:
        if select.select([s], [], [], left)[0]:
            data = s.recv(70000)
            # We receive our own frames as well.
            if data[6:12] == GATEWAY_MAC and (found := wanted(data)):
                return found
    return None


def segment_from(port):
    """Recognises the answer to a raw segment: `open` for SYN and ACK, `refused` for RST."""

    def look(data):
        if data[12:14] == b"\x08\0" and data[23] == 6 and data[34:36] == struct.pack(">H", port):
            return "refused" if data[47] & 4 else "open"
        return None

    return look


def raw(what, port):
    """Sends a raw SYN to a port of the gateway, varied by `what`."""
    port, (s, name) = int(port), card()
    source, mac, fragment = GUEST, MAC, 0
    if what == "source":
        source = "10.0.2.99"
    if what == "mac":
        mac = bytes([0x52, 0x54, 0, 0x12, 0x34, 0x57])
    if what == "fragment":
        fragment = 0x2000
    if what == "public":
        source = "8.8.8.8"
    # Use a new source port each time, so that earlier attempts are different connections.
    from_port = 20000 + int(time.monotonic() * 1000) % 30000
    s.send(frame(ip(source, GATEWAY, 6, syn(source, GATEWAY, port, from_port), fragment), mac))
    return answered(s, segment_from(port)) or "silent", f"{what} on {name}"


def jumbo(port):
    """Sends a frame of 9000 bytes, and then connects."""
    s, name = card()
    path = f"/sys/class/net/{name}/mtu"
    with open(path, encoding="ascii") as file:
        before = file.read()
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write("9000")
        s.send(frame(ip(GUEST, GATEWAY, 17, b"x" * 8900)))
    except OSError as error:
        # Then nothing was tried.
        return "unsent", str(error)
    finally:
        with open(path, "w", encoding="ascii") as file:
            file.write(before)
    return tcp(GATEWAY, port)[0], "sent"


def arp(port):
    """Claims to be the gateway, and then connects to it."""
    s, _ = card()
    packet = struct.pack(">HHBBH", 1, 0x0800, 6, 4, 2) + MAC + socket.inet_aton(GATEWAY) + GATEWAY_MAC
    s.send(frame(packet + socket.inet_aton(GUEST), kind=0x0806, to=b"\xff" * 6))
    return tcp(GATEWAY, port)


def dhcp(wanted):
    """Requests an address: returns the offered one, or `nak`, or `silent`."""
    s, _ = card()
    options = b"\x63\x82\x53\x63\x35\x01\x01\x32\x04" + socket.inet_aton(wanted) + b"\xff"
    message = struct.pack(">BBBBIHH", 1, 1, 6, 0, 77, 0, 0) + b"\0" * 16 + MAC + b"\0" * 202 + options
    datagram = struct.pack(">HHHH", 68, 67, 8 + len(message), 0) + message
    s.send(frame(ip("0.0.0.0", "255.255.255.255", 17, datagram), to=b"\xff" * 6))

    def look(data):
        is_answer = data[23] == 17 and data[34:36] == b"\0\x43"
        return (socket.inet_ntoa(data[58:62]) if is_answer else None) if len(data) > 62 else None

    return answered(s, look) or "silent", "to every station"


def ping(to):
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as s:
        body = struct.pack(">BBHHH", 8, 0, 0, 7, 1) + b"x" * 16
        try:
            s.sendto(body[:2] + struct.pack(">H", checksum(body)) + body[4:], (to, 0))
        except OSError as error:
            return errors(error), str(error)
        deadline = time.monotonic() + 2
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([s], [], [], left)[0]:
                break
            data, _ = s.recvfrom(2000)
            if data[20] == 0 and data[24:26] == b"\0\x07":
                return "open", "an echo"
            if data[20] == 3:
                return "unreachable", f"code {data[21]}"
    return "silent", ""


def flood(count, closed, port):
    """Sends SYN segments to a closed and to an open port, and then connects."""
    s, _ = card()
    for number in range(int(count)):
        to = int(closed) if number % 8 else int(port)
        s.send(frame(ip(GUEST, GATEWAY, 6, syn(GUEST, GATEWAY, to, 1024 + number % 60000))))
    s.close()
    deadline = time.monotonic() + 60
    while True:
        outcome, detail = tcp(GATEWAY, port)
        # Half-open connections occupy their slots until they time out.
        if outcome == "open" or time.monotonic() > deadline:
            return outcome, f"{count} segments; {detail}"


def slow(port, other):
    """Reads nothing from a server that sends endlessly, while making another connection."""
    with socket.create_connection((GATEWAY, int(port)), PATIENCE):
        time.sleep(1)
        outcomes = {tcp(GATEWAY, other)[0] for _ in range(5)}
    return outcomes.pop() if len(outcomes) == 1 else "mixed", "5 connections beside it"


ACTIONS = {
    name: globals()[name]
    for name in "tcp tcp6 udp each dns named http tls raw jumbo arp dhcp ping flood slow".split()
}

began = time.monotonic()
outcome, detail = ACTIONS[sys.argv[1]](*sys.argv[2:])
print(outcome, f"{(time.monotonic() - began) * 1000:.1f}", detail, sep="\t")
