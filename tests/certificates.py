"""Certificates for tests, made with the openssl command: an authority, and what it vouches for."""

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificates:
    """Paths of PEM files in one folder; `server` is for localhost, 127.0.0.1, ::1 and example.test."""

    folder: Path

    @property
    def authority(self) -> Path:
        return self.folder / "authority.pem"

    def context(self, server_side: bool = False, name: str | None = "server") -> ssl.SSLContext:
        """A context that trusts the authority and shows the certificate `name`, which a client may do without."""
        purpose = ssl.Purpose.CLIENT_AUTH if server_side else ssl.Purpose.SERVER_AUTH
        context = ssl.create_default_context(purpose, cafile=str(self.authority))
        if server_side or (name and name != "server"):
            context.load_cert_chain(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        return context


def openssl(*args: object) -> None:
    done = subprocess.run(["openssl", *map(str, args)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def make_certificates(folder: Path) -> Certificates:
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    authority = [folder / "authority.pem", folder / "authority.key"]
    openssl(
        "req", "-x509", *key, "-days", 2, "-subj", "/CN=tests", "-out", authority[0], "-keyout", authority[1],
        "-addext", "keyUsage=critical,keyCertSign,cRLSign",
    )  # fmt: skip
    names = {
        "server": "DNS:localhost,DNS:example.test,IP:127.0.0.1,IP:::1",
        "other": "DNS:other.test",
        "client": "DNS:client.test",
    }
    for name, subjects in names.items():
        request, extensions = folder / f"{name}.csr", folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={subjects}\nauthorityKeyIdentifier=keyid\n")
        openssl("req", *key, "-subj", f"/CN={name}", "-out", request, "-keyout", folder / f"{name}.key")
        openssl(
            "x509", "-req", "-in", request, "-CA", authority[0], "-CAkey", authority[1], "-CAcreateserial",
            "-days", 2, "-extfile", extensions, "-out", folder / f"{name}.pem",
        )  # fmt: skip
    return Certificates(folder)
