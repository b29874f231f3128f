"""Makes the certificates of the tests: throw-away keys, good from 2020 to 2120. Run here, with the package cryptography: python3 make.py"""

from datetime import datetime, timezone

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NAME = "messageverificationcerts.sandbox.paypal.com"
GOOD = (datetime(2020, 1, 1, tzinfo=timezone.utc), datetime(2120, 1, 1, tzinfo=timezone.utc))
OVER = (datetime(2020, 1, 1, tzinfo=timezone.utc), datetime(2021, 1, 1, tzinfo=timezone.utc))


def key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def named(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def issue(subject, public, issuer, signer, when=GOOD, dns=None):
    builder = (
        x509.CertificateBuilder()
        .subject_name(named(subject))
        .issuer_name(named(issuer))
        .public_key(public.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(when[0])
        .not_valid_after(when[1])
        .add_extension(x509.BasicConstraints(ca=dns is None, path_length=None), critical=True)
    )
    if dns is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(dns)]), critical=False)
        usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = builder.add_extension(x509.ExtendedKeyUsage(usage), critical=False)
    return builder.sign(signer, hashes.SHA256())


def pem(*certificates):
    return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)


def write(name, content):
    with open(name, "wb") as file:
        file.write(content)


root, middle, leaf, stranger = key(), key(), key(), key()
root_cert = issue("Test Root", root, "Test Root", root)
middle_cert = issue("Test Intermediate", middle, "Test Root", root)
stranger_cert = issue("Other Root", stranger, "Other Root", stranger)
write("root.pem", pem(root_cert))
write("leaf.pk8", leaf.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
write("good.pem", pem(issue(NAME, leaf, "Test Intermediate", middle, dns=NAME), middle_cert))
write("without-chain.pem", pem(issue(NAME, leaf, "Test Intermediate", middle, dns=NAME)))
write("over.pem", pem(issue(NAME, leaf, "Test Intermediate", middle, OVER, dns=NAME), middle_cert))
write("other-name.pem", pem(issue("evil.example", leaf, "Test Intermediate", middle, dns="evil.example"), middle_cert))
write("stranger.pem", pem(issue(NAME, leaf, "Other Root", stranger, dns=NAME), stranger_cert))
