"""Certificates as an operator's own authority signs them."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


class Authority:
    def __init__(self, folder: Path, name: str = "An authority of our own") -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = named(name)
        uses = {name: name in ("key_cert_sign", "crl_sign") for name in USES}
        made = self._certificate(self.name, self.key.public_key(), datetime.now(UTC) + DAY)
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        made = made.add_extension(x509.KeyUsage(**uses), critical=True)
        self.file = folder / f"{name.split()[-1]}-{self.key.private_numbers().private_value % 10**6}.pem"
        self.file.write_bytes(as_pem(made.sign(self.key, hashes.SHA256())))

    def server(self, address: str = "127.0.0.1", ends: timedelta = DAY) -> ssl.SSLContext:
        """What a server at this address shows, or at this name; valid until so long from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = self._certificate(named("gateway"), key.public_key(), datetime.now(UTC) + ends)
        made = made.add_extension(x509.SubjectAlternativeName([as_name(address)]), critical=False)
        made = made.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
        )
        file = self.folder / "server.pem"
        file.write_bytes(as_pem(made.sign(self.key, hashes.SHA256())) + as_secret(key))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(file)
        return context

    def _certificate(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, until: datetime):
        made = x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(key)
        made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        made = made.serial_number(x509.random_serial_number())
        return made.not_valid_before(datetime.now(UTC) - 9 * DAY).not_valid_after(until)


USES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def as_name(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(address))
    except ValueError:
        return x509.DNSName(address)


def as_pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def as_secret(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
