"""package_cases.py PROGRAM SCRATCH LIBRARY - what test_package runs in its environment."""
import json
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../server"))
sys.dont_write_bytecode = True
from server_fixture import MODEL, SCRATCH, Server, main, run, wait_until
import numpy
import openai
import sparkmill

LIBRARY = sys.argv[3]
TEXT = "Good morning."


def load(model=MODEL):
    return sparkmill.load(model, devices="cpu:1", cache=os.path.join(SCRATCH, "cache", "sparkmill"), library=LIBRARY)


def said(*more, form="wavfloat"):
    """The samples that the program makes of it."""
    out = os.path.join(SCRATCH, "said")
    run("say", TEXT, "--model", MODEL, "--devices", "cpu:1", "--max-seconds", "1", "-o", out, "--format", form, *more)
    with open(out, "rb") as file:
        data = file.read()
    return data[data.index(b"data") + 8:]


def expect(word, call, *arguments, **wish):
    try:
        call(*arguments, **wish)
    except sparkmill.Error as error:
        assert word in str(error), error
        return
    raise AssertionError("no error")


def test_speak_is_say():
    with load() as engine:
        samples, rate = engine.speak(TEXT, seed=7, max_seconds=1)
        assert (samples.dtype, rate, engine.synthetic) == (numpy.float32, 16000, True)
        assert samples.tobytes() == said("--seed", "7")
        labels = engine.speak(TEXT, gender="male", pitch="low", rate="high", seed=8, max_seconds=1)[0]
        assert labels.tobytes() == said("--seed", "8", "--gender", "male", "--pitch", "low", "--speed", "high")
        assert labels.tobytes() != samples.tobytes()


def test_voices():
    path = os.path.join(SCRATCH, "otto.voice")
    said("--seed", "3", "--save-voice", path)
    with open(path) as file:
        root = json.load(file)
    with load() as engine:
        ours = engine.speak(TEXT, voice=path, seed=9, max_seconds=1)[0].tobytes()
        assert ours == said("--seed", "9", "--voice", path)
        assert ours == engine.speak(TEXT, voice=root["global_tokens"], seed=9, max_seconds=1)[0].tobytes()
        with engine.stream(TEXT, seed=3, max_seconds=1) as stream:
            list(stream)
            assert stream.end in ("complete", "limit"), stream.end
            assert stream.voice == root["global_tokens"]
        with open(path, "w") as file:
            json.dump(dict(root, name="anna"), file)
        expect("checksum", engine.speak, TEXT, voice=path)
        expect("No such file", engine.speak, TEXT, voice="nobody")
        expect("seed", engine.speak, TEXT, seed=-1)


def test_stream():
    with load() as engine:
        whole = engine.speak(TEXT, max_seconds=3)[0]
        pieces = list(engine.stream(TEXT, max_seconds=3))
        assert len(pieces) > 1 and numpy.array_equal(numpy.concatenate(pieces), whole)
        stream = engine.stream(TEXT, max_seconds=3)
        next(stream)
        stream.close()
        assert next(stream, None) is None and (stream.voice, stream.end) == (None, "cancelled")


def test_threads():
    with load() as engine:
        alone = [engine.speak(TEXT, seed=seed, max_seconds=0.5)[0] for seed in range(3)]
        beside = [None] * 3

        def speak(seed):
            beside[seed] = engine.speak(TEXT, seed=seed, max_seconds=0.5)[0]

        threads = [threading.Thread(target=speak, args=(seed,)) for seed in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(map(numpy.array_equal, alone, beside))


def test_refusals():
    expect("checkpoint", load, os.path.join(SCRATCH, "none"))
    expect("libsparkmill", sparkmill.load, MODEL, library="/none/libsparkmill.so")
    engine = load()
    expect("pitch", engine.speak, TEXT, pitch="shrill")
    expect("", engine.speak, "")
    engine.close()
    engine.close()
    expect("closed", engine.speak, TEXT)


def test_openai():
    with Server() as server:
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key="none")
        wish = {"model": "tts-1", "voice": "alloy", "input": TEXT, "response_format": "wav"}
        whole = client.audio.speech.create(**wish, extra_body={"sparkmill": {"seed": 3}}).content
        ours = sparkmill.Client(f"http://127.0.0.1:{server.port}")
        assert whole == ours.speech(TEXT, response_format="wav", seed=3)
        with client.audio.speech.with_streaming_response.create(**wish) as response:
            assert b"".join(response.iter_bytes()) == ours.speech(TEXT, response_format="wav")
        try:
            client.audio.speech.create(**dict(wish, voice="nobody"))
        except openai.APIStatusError as error:
            assert error.body["param"] == "voice", error.body
        else:
            raise AssertionError("no error")


def test_openai_batch():
    """A file of requests, a batch, its results, as OpenAI's documentation has them."""
    lines = b"".join(json.dumps(sparkmill.request(name, TEXT, response_format="wav", redraws=0)).encode() + b"\n"
                     for name in "ab")
    with Server() as server:
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key="none")
        file = client.files.create(file=("in.jsonl", lines), purpose="batch")
        assert file.filename == "in.jsonl" and file.bytes == len(lines)
        batch = client.batches.create(input_file_id=file.id, endpoint="/v1/audio/speech", completion_window="24h",
                                      metadata={"book": "x"})
        batch = wait_until(lambda: client.batches.retrieve(batch.id).completed_at and client.batches.retrieve(batch.id))
        assert batch.status == "completed" and batch.request_counts.completed == 2, batch
        results = [json.loads(line) for line in client.files.content(batch.output_file_id).text.splitlines()]
        assert [result["custom_id"] for result in results] == ["a", "b"]
        sound = client.files.content(results[0]["response"]["body"]["file_id"]).read()
        assert sound[:4] == b"RIFF" and len(sound) == results[0]["response"]["body"]["bytes"]
        assert [each.id for each in client.batches.list()] == [batch.id]
        assert file.id in [each.id for each in client.files.list()]
        try:
            client.batches.cancel(batch.id)
            raise AssertionError("it was over")
        except openai.ConflictError as error:
            assert error.code == "batch_is_over"
        assert client.files.delete(batch.output_file_id).deleted


sys.exit(main([test_speak_is_say, test_voices, test_stream, test_threads, test_refusals, test_openai, test_openai_batch]))
