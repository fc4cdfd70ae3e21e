"""What lies between two hosts, as a middlebox: takes packets of the one from a TUN device and gives them to the other's.

Usage: between.py NAMESPACE_FILE_A ADDRESS_A NAMESPACE_FILE_B ADDRESS_B HOW
HOW: reorder (every third packet is passed by the next two), or mirror (a SYN-ACK gets the unknown options of its SYN).
"""

import ctypes
import fcntl
import os
import select
import struct
import subprocess
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000


def device(namespace, address):
    """A TUN device with that address in that namespace."""
    file = os.open(namespace, os.O_RDONLY)
    assert LIBC.setns(file, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
    os.close(file)
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH", b"between", IFF_TUN | IFF_NO_PI))
    subprocess.check_call(["ip", "address", "add", address + "/24", "dev", "between"])
    subprocess.check_call(["ip", "link", "set", "between", "up"])
    return tun


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


asked = {}


def mirrored(packet):
    """Whatever option of kind 253 a SYN had is in its SYN-ACK, too."""
    if packet[0] != 0x45 or packet[9] != 6:
        return packet
    ip, tcp = bytearray(packet[:20]), bytearray(packet[20:])
    flags, end = tcp[13], (tcp[12] >> 4) * 4
    ports = bytes(tcp[0:4])
    if flags & 0x12 == 0x02:
        at = 20
        while at < end and tcp[at] != 0:
            length = 1 if tcp[at] == 1 else tcp[at + 1]
            if tcp[at] == 253:
                asked[ports] = bytes(tcp[at : at + length])
            at += length
    option = asked.get(ports[2:4] + ports[0:2])
    if flags & 0x12 != 0x12 or not option:
        return packet
    tcp = tcp[:end] + option + tcp[end:]
    tcp[12] = (end + len(option)) // 4 << 4
    ip[2:4] = struct.pack("!H", 20 + len(tcp))
    ip[10:12] = tcp[16:18] = b"\0\0"
    ip[10:12] = struct.pack("!H", checksum(bytes(ip)))
    pseudo = bytes(ip[12:20]) + struct.pack("!HH", 6, len(tcp))
    tcp[16:18] = struct.pack("!H", checksum(pseudo + bytes(tcp)))
    return bytes(ip + tcp)


file_a, address_a, file_b, address_b, how = sys.argv[1:]
a, b = device(file_a, address_a), device(file_b, address_b)
print("between", flush=True)
held, count = {a: [], b: []}, 0
while True:
    ready, _, _ = select.select([a, b], [], [], 0.003)
    for one in ready:
        packet = os.read(one, 65536)
        count += 1
        if how == "mirror":
            packet = mirrored(packet)
        to = b if one == a else a
        if how == "reorder" and count % 3 == 0 and not held[to]:
            held[to] = [packet, 2]
            continue
        os.write(to, packet)
        if held[to]:
            held[to][1] -= 1
            if held[to][1] == 0:
                os.write(to, held[to][0])
                held[to] = []
    if not ready:
        # Nobody comes to pass them.
        for to in (a, b):
            if held[to]:
                os.write(to, held[to][0])
                held[to] = []
