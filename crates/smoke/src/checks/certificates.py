import os
import re
import ssl
import subprocess

BLOCK = re.compile("-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----")


def read(variable):
    with open(os.environ[variable], encoding="ascii", errors="replace") as file:
        return {ssl.PEM_cert_to_DER_cert(block) for block in BLOCK.findall(file.read())}


own = read("NODE_EXTRA_CA_CERTS")
assert own, "no certificate of its own"
for variable in ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"]:
    assert own <= read(variable), f"{variable} lacks a certificate"
# The authorities that OpenSSL trusts, as it reads them; other certificates are not listed.
trusted = set(ssl.create_default_context().get_ca_certs(binary_form=True))
with open("/etc/rave/environment", encoding="utf-8") as file:
    assert "NODE_EXTRA_CA_CERTS=" in file.read(), "the services have another environment"
parse = "for (const pem of fs.readFileSync(process.env.NODE_EXTRA_CA_CERTS, 'latin1').split(/(?=-----BEGIN)/)) new crypto.X509Certificate(pem)"
subprocess.run(["node", "-e", parse], check=True)
print(f"{len(own)} of its own among {len(trusted)}")
