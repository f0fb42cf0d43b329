"""The sound that belongs to tokens and the teacher's spectrum: rendered in batches where the training runs, so that it needs
no disc and every reading is heard in all pitches of its speaker.

Every 5 ms an excitation, pulses or noise, is shaped by the spectrum and added to what still rings. Both stand on a grid of 40 ms,
so an excitation is one of a few: which it is, pitch, parity and place in the frame tell.
"""

import numpy as np
import torch

import speech

FINE = 80                                              # samples of a frame of the teacher: 5 ms
GRID = 640                                             # samples: every period 640 / n divides it
N_FFT, RING = 1024, 720                                # samples that an excitation rings, a multiple of FINE
GAIN = {"slt": 1.7e-5, "rms": 3.1e-5, "awb": 2.5e-5}   # to a deviation of about 0.07
MOST_PULSES = 12                                       # in GRID
SHARPER = 0.4                                          # formants: what flite's own vocoder adds to them


def _warped(alpha=0.42, order=24):
    """[25, 513] complex: mel-cepstrum -> logarithm of the minimum-phase spectrum."""
    w = np.pi * np.arange(N_FFT // 2 + 1) / (N_FFT // 2)
    warped = w + 2 * np.arctan2(alpha * np.sin(w), 1 - alpha * np.cos(w))
    return np.exp(-1j * np.arange(order + 1)[:, None] * warped)


def _excitations():
    """[pulses in GRID (0: voiceless), parity, place, 513]: spectra of what begins in each 5 ms."""
    hz = np.arange(N_FFT // 2 + 1) * speech.SAMPLE_RATE / N_FFT
    pulse_share = 1 / (1 + np.exp((hz - 4500) / 300))  # of a voiced spectrum; noise has the rest
    noise = np.random.default_rng(3).normal(size=GRID)
    places = speech.HOP // FINE
    out = np.zeros((MOST_PULSES + 1, 2, places, len(hz)), complex)
    for parity in range(2):
        for place in range(places):
            begin = parity * speech.HOP + place * FINE
            hiss = noise[(begin + np.arange(2 * FINE)) % GRID] * np.hanning(2 * FINE + 1)[:-1]
            hiss = np.fft.rfft(hiss, N_FFT)
            out[0, parity, place] = hiss
            for count in range(1, MOST_PULSES + 1):
                at = np.arange(count) * GRID / count - begin
                at = at[(at >= 0) & (at < FINE), None]
                pulses = np.exp(-2j * np.pi * hz / speech.SAMPLE_RATE * at).sum(0) * np.sqrt(GRID / count)
                out[count, parity, place] = pulses * pulse_share + 0.7 * (1 - pulse_share) * hiss
    return out


class Vocoder:
    def __init__(self, device):
        def put(x, dtype):
            return torch.tensor(x, dtype=dtype, device=device)

        self.warped, self.excitations = put(_warped(), torch.complex64), put(_excitations(), torch.complex64)
        self.level, self.parity = put(speech.LEVEL_OF, torch.long), put(speech.PARITY_OF, torch.long)
        self.base = put([step for _, step in speech.VOICES], torch.long)
        self.gain = put([GAIN[name] for name, _ in speech.VOICES], torch.float32)
        self.fade = put(np.minimum(1, np.arange(RING, 0, -1) / 160), torch.float32)

    @torch.no_grad()
    def render(self, voice, tokens, voiced, mcep):
        """[B] of speech.VOICES, [B, T], [B, T, 4] bool, [B, T, 4, 25] -> sound [B, 320 T]."""
        b, t = tokens.shape
        soft = mcep.to(torch.complex64) @ self.warped
        sharp = soft + SHARPER * (mcep[..., 2:].to(torch.complex64) @ self.warped[2:])
        level = (2 * soft.real).logsumexp(3) - (2 * sharp.real).logsumexp(3)   # as loud as it was
        count = (self.base[voice][:, None] + self.level[tokens] - 1)[..., None] * voiced
        places = torch.arange(voiced.shape[2], device=tokens.device)
        excitation = self.excitations[count, self.parity[tokens][..., None], places]
        ringing = torch.fft.irfft(excitation * torch.exp(sharp + 0.5 * level[..., None]), n=N_FFT)[..., :RING] * self.fade
        ringing = ringing.view(b, -1, RING // FINE, FINE)
        sound = ringing[:, :, 0].clone()
        for k in range(1, RING // FINE):
            sound[:, k:] += ringing[:, :-k, k]
        return sound.view(b, -1) * self.gain[voice][:, None]


class Crops:
    """What make_data.py wrote, on the device, in crops of `frames`, inside one sentence each."""

    def __init__(self, zs, device, frames):
        self.device, self.frames = device, frames
        self.tokens = self.put(zs, "tokens", torch.long)
        length = np.concatenate([np.diff(z["tokens_end"], prepend=0) for z in zs])
        end = np.cumsum(length)
        speaker = np.concatenate([z["labels"][:, 0] for z in zs]) // speech.PITCHES
        begin = {"middle": np.concatenate([np.arange(e - n, e - frames + 1) for n, e in zip(length, end)]),
                 "begin": (end - length)[length >= frames], "end": end[length >= frames] - frames}
        self.begins = {place: torch.tensor(x, device=device) for place, x in begin.items()}
        self.speaker = torch.tensor(np.repeat(speaker, length), dtype=torch.long, device=device)
        self.digits = torch.tensor(np.stack([speech.global_digits(v) for v in speech.VOICES]), device=device)

    def put(self, zs, name, dtype):
        return torch.cat([torch.as_tensor(z[name], dtype=dtype) for z in zs]).to(self.device)

    def places(self, n, place):
        """[n, frames], and the speaker [n] of each crop."""
        begins = self.begins[place]
        at = begins[torch.randint(len(begins), (n,), device=begins.device)]
        return at[:, None] + torch.arange(self.frames, device=at.device), self.speaker[at]


class Readings(Crops):
    """Crops of what was written with --more track, and how they sound."""

    def __init__(self, paths, device, frames):
        zs = [np.load(p) for p in paths]
        super().__init__(zs, device, frames)
        self.vocoder = Vocoder(device)
        self.voiced, self.mcep = self.put(zs, "voiced", torch.bool), self.put(zs, "mcep", torch.float16)

    def batch(self, n, place="middle"):
        """`place`: anywhere, at the begin or at the end of sentences. tokens [n, frames], digits [n, 32, 3], sound."""
        at, speaker = self.places(n, place)
        voice = speaker * speech.PITCHES + torch.randint(speech.PITCHES, (n,), device=at.device)
        tokens = self.tokens[at]
        return tokens, self.digits[voice], self.vocoder.render(voice, tokens, self.voiced[at], self.mcep[at].float())


class Recordings(Crops):
    """Crops of what was written with --more sound: flite's own."""

    def __init__(self, paths, device, frames):
        zs = [np.load(p) for p in paths]
        super().__init__(zs, device, frames)
        self.sound = self.put(zs, "sound", torch.int16)
        self.own = torch.tensor([speech.VOICES.index(speech.own_voice(name)) for name in speech.SPEAKERS], device=device)

    def batch(self, n):
        """As of Readings, anywhere."""
        at, speaker = self.places(n, "middle")
        return self.tokens[at], self.digits[self.own[speaker]], self.sound[at].flatten(1).float() / 32768
