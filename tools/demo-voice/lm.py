"""The language model in torch, batched, and how its sequences are built."""

import numpy as np
import torch
import torch.nn.functional as F

import speech
import tokenizer

SEMANTIC, GLOBAL = tokenizer.first("bicodec_semantic"), tokenizer.first("bicodec_global")
IM_END = tokenizer.ID["<|im_end|>"]
TEXT_FROM = 2                                          # where the text begins in a sequence: behind task and <|start_content|>


def rope_table(n, d, theta, device):
    freq = 1.0 / theta ** (torch.arange(0, d, 2, dtype=torch.float32, device=device) / d)
    angle = torch.arange(n, dtype=torch.float32, device=device)[:, None] * freq
    return angle.cos(), angle.sin()


def rope(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1).to(x.dtype)


def rms_norm(x, weight, eps):
    x32 = x.float()
    return (x32 * torch.rsqrt(x32.pow(2).mean(-1, keepdim=True) + eps) * weight).to(x.dtype)


def mean_where(x, kept):
    """Without asking the device how many are kept, which would wait for it."""
    return torch.where(kept, x, 0).sum() / kept.sum().clamp(min=1)


def attention_within(q, k, wanted):
    """Mean of -log(share of the attention that falls on the wanted keys). q, k [B, S, d]; wanted [B, S, S] bool; queries that
    want nothing do not count."""
    s = q.shape[1]
    scores = (q @ k.transpose(1, 2)).float() * q.shape[2] ** -0.5
    scores = scores.masked_fill(torch.ones(s, s, dtype=torch.bool, device=q.device).triu(1), -1e4)
    inside = scores.masked_fill(~wanted, -1e4).logsumexp(2) - scores.logsumexp(2)
    return -mean_where(inside, wanted.any(2))


def forward(w, c, embed, ids, guide=None):
    """[B, S] ids -> [B, S, hidden] after the last norm. `embed` is the embedding matrix in use. With `guide` = (heads as
    (layer, head), wanted [B, S, S]) also the mean of attention_within for these heads."""
    (b, s), heads, kv = ids.shape, c["num_attention_heads"], c["num_key_value_heads"]
    d, eps = c["hidden_size"] // heads, c["rms_norm_eps"]
    cos, sin = rope_table(s, d, c["rope_theta"], ids.device)
    x, guided = F.embedding(ids, embed), []
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        h = rms_norm(x, w[p + "input_layernorm.weight"], eps)
        q, k, v = (F.linear(h, w[p + f"self_attn.{n}_proj.weight"], w[p + f"self_attn.{n}_proj.bias"])
                   .view(b, s, -1, d).transpose(1, 2) for n in "qkv")
        q, k = rope(q, cos, sin), rope(k, cos, sin)
        k, v = (t.repeat_interleave(heads // kv, 1) for t in (k, v))
        if guide:
            guided += [attention_within(q[:, head], k[:, head], guide[1]) for layer, head in guide[0] if layer == i]
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(b, s, -1)
        x = x + F.linear(a, w[p + "self_attn.o_proj.weight"])
        h = rms_norm(x, w[p + "post_attention_layernorm.weight"], eps)
        h = F.silu(F.linear(h, w[p + "mlp.gate_proj.weight"])) * F.linear(h, w[p + "mlp.up_proj.weight"])
        x = x + F.linear(h, w[p + "mlp.down_proj.weight"])
    x = rms_norm(x, w["model.norm.weight"], eps)
    return (x, sum(guided) / len(guided)) if guide else x


class Embedding(torch.nn.Module):
    """The embedding matrix as a sum of parts, so that what tokens share is learned once: a letter with its capital, a frame
    with others of its phone, part, pitch step and parity. matrix() is what is stored."""

    def __init__(self, hidden):
        super().__init__()
        t = speech
        part = t.PHONE_OF * t.N_PARTS + t.PART_OF
        groups = [t.PHONE_OF, part, t.LEVEL_OF, t.PARITY_OF]
        offsets = np.cumsum([0] + [int(g.max()) + 1 for g in groups])
        self.register_buffer("shared", torch.tensor(np.stack([g + o for g, o in zip(groups, offsets)], 1)))
        fold = np.arange(256)
        fold[65:91] += 32
        self.register_buffer("fold", torch.tensor(fold))
        std = 0.05
        self.own = torch.nn.Parameter(torch.randn(tokenizer.SIZE, hidden) * std * 0.5)
        self.letters = torch.nn.Parameter(torch.randn(256, hidden) * std)
        self.frames = torch.nn.Parameter(torch.randn(int(offsets[-1]), hidden) * std)

    def matrix(self):
        own = self.own
        n = len(self.shared)
        frames = self.frames[self.shared].sum(1)
        return torch.cat([own[:256] + self.letters[self.fold], own[256:SEMANTIC], own[SEMANTIC:SEMANTIC + n] + frames,
                          own[SEMANTIC + n:]])


def sequence(text, voice, tokens, labels, create):
    """(ids, number of prompt ids) of one example, in the clone or the creation format."""
    m, first = tokenizer.marker, tokenizer.first
    spoken = [m("start_semantic_token"), *(SEMANTIC + tokens.astype(int)), IM_END]
    voice_ids = [m("start_global_token"), *(GLOBAL + speech.global_tokens(voice)), m("end_global_token")]
    content = [m("start_content"), *tokenizer.encode(text), m("end_content")]
    if not create:
        prompt = [m("task_tts"), *content, *voice_ids]
        return prompt + spoken, len(prompt)
    gender, pitch_label, speed_label, pitch, speed = labels
    prompt = [m("task_controllable_tts"), *content, m("start_style_label"), first("gender") + gender,
              first("pitch_label") + pitch_label, first("speed_label") + speed_label, m("end_style_label")]
    acoustic = [m("start_acoustic_token"), first("pitch_value") + pitch, first("speed_value") + speed,
                m("end_acoustic_token")]
    return prompt + acoustic + voice_ids + spoken, len(prompt)
