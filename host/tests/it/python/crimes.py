"""Commits the crime that its configuration names, at the line `two`."""

import os
import socket
import sys
import time
from typing import Literal

from etl_plugin import Int64, Schema, Text, count, line_mapper, log


class Crimes:
    @staticmethod
    def exception():
        return {}["no such key"]

    @staticmethod
    def loop():
        while True:
            pass

    @staticmethod
    def memory():
        kept = []
        while True:
            kept.append(bytearray(1 << 20))

    @staticmethod
    def exit():
        sys.exit(3)

    @staticmethod
    def abort():
        os._exit(3)

    @staticmethod
    def file():
        open("/etc/passwd")

    @staticmethod
    def late():
        import csv

        csv.reader([])

    @staticmethod
    def connect():
        socket.create_connection(("192.0.2.1", 80))

    @staticmethod
    def recursion():
        Crimes.recursion()


@line_mapper(emits=Schema(values={"line": Text, "n": Int64}))
class Crime:
    crime: Literal[
        "none", "clock", "type", "range", "exception", "loop", "memory",
        "exit", "abort", "file", "connect", "late", "recursion",
    ]

    def map(self, line: str, out):
        if line == "two" and hasattr(Crimes, self.crime):
            getattr(Crimes, self.crime)()
        if line == "two" and self.crime in ("type", "range"):
            out.emit(line, "x" if self.crime == "type" else 2**70)
        log.info(f"line {line}")
        print("printed")
        count("lines")
        out.emit(line, time.time_ns() if self.crime == "clock" else len(line))
