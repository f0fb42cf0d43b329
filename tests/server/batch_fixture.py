"""What tests of batches share: requests as lines, uploads, and what must hold of results."""
import hashlib
import json

from server_fixture import wait_until, wish


def line(custom_id, **fields):
    """One request; the synthetic model's noise would be drawn again each time."""
    fields.setdefault("sparkmill", {"redraws": 0})
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/audio/speech", "body": wish(**fields)}


def upload(server, lines, headers=None, **more):
    """A file of lines; its object."""
    text = "".join((each if isinstance(each, str) else json.dumps(each)) + "\n" for each in lines)
    body = ('--xXx\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
            '--xXx\r\nContent-Disposition: form-data; name="file"; filename="C:\\a/in.jsonl"\r\n'
            f"Content-Type: application/octet-stream\r\n\r\n{text}\r\n--xXx--\r\n")
    return server.json("POST", "/v1/files", body.encode(),
                       {"Content-Type": "multipart/form-data; boundary=xXx", **(headers or {})}, **more)


def order(file, **more):
    return {"input_file_id": file, "endpoint": "/v1/audio/speech", "completion_window": "24h", **more}


def begin(server, lines, headers=None, **more):
    return server.json("POST", "/v1/batches", order(upload(server, lines, headers)["id"], **more), headers)


def get(server, batch, headers=None):
    return server.json("GET", f"/v1/batches/{batch['id']}", headers=headers)


def finish(server, batch, status="completed", seconds=120):
    """The batch when it is over."""
    def look():
        now = get(server, batch)
        return now["status"] not in ("validating", "in_progress", "cancelling") and now

    now = wait_until(look, seconds)
    assert now["status"] == status, now
    return now


def results(server, file, headers=None):
    """The lines of a results file."""
    _, data = server.call("GET", f"/v1/files/{file}/content", headers=headers)
    return [json.loads(text) for text in data.decode().splitlines()]


def sound(server, result, headers=None):
    """The sound that a line of results speaks of, which must be whole."""
    body = result["response"]["body"]
    _, data = server.call("GET", f"/v1/files/{body['file_id']}/content", headers=headers)
    assert len(data) == body["bytes"] and hashlib.sha256(data).hexdigest() == body["sha256"], body
    return data
