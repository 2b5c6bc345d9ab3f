"""Third-party readers accept a release: DSSE signatures, in-toto statements, bills of materials."""

import json
import pathlib
import sys

folder, fingerprint, public = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]


def statements():
    from in_toto_attestation.v1.statement import Statement
    from google.protobuf import json_format
    import in_toto_attestation.v1.statement_pb2 as statement_pb2
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import VerificationError
    from securesystemslib.signer import SSlibKey

    key = SSlibKey(fingerprint, "ed25519", "ed25519", {"public": public})
    count = 0
    for line in (folder / "provenance.intoto.jsonl").read_text().splitlines():
        # Envelope expects the field names of the DSSE file format, such as `sig`.
        envelope = Envelope.from_dict(json.loads(line))
        assert envelope.verify([key], 1), "not verified"
        message = json_format.Parse(envelope.payload.decode(), statement_pb2.Statement())
        Statement.copy_from_pb(message).validate()
        envelope.payload += b" "
        try:
            envelope.verify([key], 1)
        except VerificationError:
            count += 1
        else:
            raise AssertionError("a changed payload was accepted")
    print(f"statements: {count}")


def cyclonedx():
    from cyclonedx.model.bom import Bom
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    for path in folder.glob("sbom/*.cdx.json"):
        text = path.read_text()
        errors = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
        assert errors is None, f"{path}: {errors}"
        bom = Bom.from_json(json.loads(text))
        print(f"CycloneDX components: {len(bom.components)}")


def spdx():
    from spdx_tools.spdx.parser.parse_anything import parse_file
    from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

    for path in folder.glob("sbom/*.spdx.json"):
        document = parse_file(str(path))
        messages = validate_full_spdx_document(document)
        assert not messages, f"{path}: {messages[:3]}"
        print(f"SPDX packages: {len(document.packages)}")


statements()
cyclonedx()
spdx()
