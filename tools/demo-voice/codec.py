"""BiCodec in torch, batched: tokens -> sound, and recording -> tokens (wav2vec2, encoder, speaker encoder)."""

import math

import torch
import torch.nn.functional as F

import speech


def fold(w, p, dim=0):
    v, g = w[p + "weight_v"], w[p + "weight_g"]
    over = [d for d in range(v.dim()) if d != dim]
    return v * (g / v.pow(2).sum(over, keepdim=True).sqrt())


def linear(w, p, x):
    return F.linear(x, w[p + "weight"], w[p + "bias"])


def _adaptive_norm(w, p, x, cond):
    x = F.layer_norm(x, x.shape[-1:], eps=1e-6)
    return x * linear(w, p + "scale.", cond)[:, None] + linear(w, p + "shift.", cond)[:, None]


def _norm(w, p, x, cond=None):
    if cond is not None:
        return _adaptive_norm(w, p, x, cond)
    return F.layer_norm(x, x.shape[-1:], w[p + "weight"], w[p + "bias"], 1e-6)


def vocos(w, p, x, layers, cond=None):
    """[B, T, C] -> [B, T, dim]."""
    x = F.conv1d(x.transpose(1, 2), w[p + "embed.weight"], w[p + "embed.bias"], padding=3).transpose(1, 2)
    x = _norm(w, p + "norm.", x, cond)
    for i in range(layers):
        q = f"{p}convnext.{i}."
        h = F.conv1d(x.transpose(1, 2), w[q + "dwconv.weight"], w[q + "dwconv.bias"], padding=3, groups=x.shape[2])
        h = _norm(w, q + "norm.", h.transpose(1, 2), cond)
        x = x + w[q + "gamma"] * linear(w, q + "pwconv2.", F.gelu(linear(w, q + "pwconv1.", h)))
    return _norm(w, p + "final_layer_norm.", x)


# ------------------------------------------------------------------------------------- tokens -> sound

def speaker_vector(w, digits):
    """[B, 32, levels] digits of global tokens -> [B, dim]."""
    half = torch.tensor(speech.GLOBAL_LEVELS, device=digits.device) // 2
    z = linear(w, "speaker_encoder.quantizer.project_out.", (digits - half).float() / half)
    return linear(w, "speaker_encoder.project.", z.transpose(1, 2).flatten(1))


def prenet(w, c, tokens, d):
    """[B, T] semantic tokens, [B, dim] -> [B, dim, T]."""
    z = F.conv1d(w["quantizer.codebook.weight"][tokens].transpose(1, 2), fold(w, "quantizer.out_project."),
                 w["quantizer.out_project.bias"])
    h = linear(w, "prenet.linear_pre.", z.transpose(1, 2))
    for i in range(2):
        h = vocos(w, f"prenet.downsample.{i}.1.", 3.0 * h, 2)
    h = vocos(w, "prenet.vocos_backbone.", h, c["prenet"]["vocos_num_layers"], d)
    return linear(w, "prenet.linear.", h).transpose(1, 2)


def snake(x, alpha):
    return x + torch.sin(alpha * x).pow(2) / (alpha + 1e-9)


def samples_of_frames(w, x):
    """[B, dim, T] -> [B, 320 T]: the wave generator as it begins (layout.begin_as_framing), by its first layer alone."""
    x = F.conv1d(x, fold(w, "decoder.model.0."), w["decoder.model.0.bias"], padding=3)
    return torch.tanh(x.transpose(1, 2).flatten(1))


def wave_generator(w, c, x):
    """[B, dim, T] -> [B, 320 T]."""
    x = F.conv1d(x, fold(w, "decoder.model.0."), w["decoder.model.0.bias"], padding=3)
    for i, (k, stride) in enumerate(zip(c["decoder"]["kernel_sizes"], c["decoder"]["rates"])):
        b = f"decoder.model.{i + 1}.block."
        x = snake(x, w[b + "0.alpha"])
        x = F.conv_transpose1d(x, fold(w, b + "1."), w[b + "1.bias"], stride=stride, padding=(k - stride) // 2)
        for j, dilation in zip((2, 3, 4), (1, 3, 9)):
            u = f"{b}{j}.block."
            y = F.conv1d(snake(x, w[u + "0.alpha"]), fold(w, u + "1."), w[u + "1.bias"], padding=3 * dilation,
                         dilation=dilation)
            x = x + F.conv1d(snake(y, w[u + "2.alpha"]), fold(w, u + "3."), w[u + "3.bias"])
    last = len(c["decoder"]["rates"]) + 1
    p = f"decoder.model.{last + 1}."
    x = snake(x, w[f"decoder.model.{last}.alpha"])
    return torch.tanh(F.conv1d(x, fold(w, p), w[p + "bias"], padding=3))[:, 0]


# --------------------------------------------------------------------------------- recording -> tokens

def wav2vec2(w, c, wave):
    """[B, N] -> [B, T, hidden]: the mean of hidden states 11, 14 and 16."""
    x = (wave - wave.mean(1, keepdim=True)) / torch.sqrt(wave.var(1, unbiased=False, keepdim=True) + 1e-7)
    x = x[:, None]
    for i, stride in enumerate(c["conv_stride"]):
        p = f"feature_extractor.conv_layers.{i}."
        x = F.conv1d(x, w[p + "conv.weight"], w[p + "conv.bias"], stride=stride).transpose(1, 2)
        x = F.gelu(F.layer_norm(x, x.shape[-1:], w[p + "layer_norm.weight"], w[p + "layer_norm.bias"], 1e-5)).transpose(1, 2)

    def norm(p, h):
        return F.layer_norm(h, h.shape[-1:], w[p + "weight"], w[p + "bias"], c["layer_norm_eps"])

    h = linear(w, "feature_projection.projection.", norm("feature_projection.layer_norm.", x.transpose(1, 2)))
    k, p = c["num_conv_pos_embeddings"], "encoder.pos_conv_embed.conv."
    position = F.conv1d(h.transpose(1, 2), fold(w, p, dim=2), w[p + "bias"], padding=k // 2,
                        groups=c["num_conv_pos_embedding_groups"])[:, :, :h.shape[1]]
    h = h + F.gelu(position).transpose(1, 2)
    b, t, _ = h.shape
    states = []
    for i in range(17):
        if i in (11, 14, 16):
            states.append(h)
        if i == 16:
            break
        p = f"encoder.layers.{i}."
        a = norm(p + "layer_norm.", h)
        q, k, v = (linear(w, p + f"attention.{n}_proj.", a).view(b, t, c["num_attention_heads"], -1).transpose(1, 2)
                   for n in "qkv")
        a = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, t, -1)
        h = h + linear(w, p + "attention.out_proj.", a)
        f = F.gelu(linear(w, p + "feed_forward.intermediate_dense.", norm(p + "final_layer_norm.", h)))
        h = h + linear(w, p + "feed_forward.output_dense.", f)
    return sum(states) / 3


def encode(w, c, features):
    """wav2vec2 features -> [B, T, codebook dim], compared with the codebook by cosine."""
    h = vocos(w, "encoder.encoder.", features, c["encoder"]["vocos_num_layers"])
    for i in range(2):
        h = vocos(w, f"encoder.downsample.{i}.1.", 3.0 * h, 2)
    z = linear(w, "encoder.project.", h).transpose(1, 2)
    return F.conv1d(z, fold(w, "quantizer.in_project."), w["quantizer.in_project.bias"]).transpose(1, 2)


def mel_filters(m):
    """Slaney-scale, slaney-normalised triangles [n_mels, n_fft / 2 + 1]."""
    step = math.log(6.4) / 27.0
    top = 15.0 + math.log(m["sample_rate"] / 2 / 1000.0) / step
    at = torch.linspace(m["mel_fmin"] / (200.0 / 3), top, m["num_mels"] + 2, dtype=torch.float64)
    f = torch.where(at < 15.0, at * (200.0 / 3), 1000.0 * torch.exp(step * (at - 15.0)))
    bins = torch.linspace(0, m["sample_rate"] // 2, m["n_fft"] // 2 + 1, dtype=torch.float64)
    up = (bins[None] - f[:-2, None]) / (f[1:-1] - f[:-2])[:, None]
    down = (f[2:, None] - bins[None]) / (f[2:] - f[1:-1])[:, None]
    return (torch.minimum(up, down).clamp(min=0) * (2.0 / (f[2:] - f[:-2]))[:, None]).float()


def mel_spectrogram(m, wave, filters):
    """[B, N] -> [B, n_mels, 1 + N / hop], magnitudes."""
    window = torch.hann_window(m["win_length"], device=wave.device)
    spec = torch.stft(wave, m["n_fft"], m["hop_length"], m["win_length"], window, center=True, pad_mode="reflect",
                      return_complex=True).abs()
    return filters @ spec


def _batch_norm(w, p, x, statistics):
    """With `statistics`, a dictionary, by the batch, whose moments are kept there; else by the stored ones."""
    mean, var = w[p + "running_mean"], w[p + "running_var"]
    if statistics is None:
        return F.batch_norm(x, mean, var, w[p + "weight"], w[p + "bias"], eps=1e-5)
    statistics[p] = (x.detach().mean((0, 2)), x.detach().var((0, 2)))
    return F.batch_norm(x, None, None, w[p + "weight"], w[p + "bias"], training=True, eps=1e-5)


def ecapa(w, mel, statistics=None):
    """[B, n_mels, T] -> [B, 3 channels, T]."""
    p = "speaker_encoder.speaker_encoder."

    def block(q, x, **how):
        return _batch_norm(w, q + "bn.", F.relu(F.conv1d(x, w[q + "conv.weight"], w[q + "conv.bias"], **how)), statistics)

    x, outs = block(p + "layer1.", mel, padding=2), []
    for layer in (2, 3, 4):
        b = f"{p}layer{layer}.se_res2block."
        h, done, s = block(b + "0.", x), [], None
        parts = h.chunk(8, 1)
        for j in range(7):
            s = parts[0] if j == 0 else s + parts[j]
            s = F.relu(F.conv1d(s, w[b + f"1.convs.{j}.weight"], w[b + f"1.convs.{j}.bias"], padding=layer, dilation=layer))
            s = _batch_norm(w, b + f"1.bns.{j}.", s, statistics)
            done.append(s)
        h = block(b + "2.", torch.cat(done + [parts[7]], 1))
        g = torch.sigmoid(linear(w, b + "3.linear2.", F.relu(linear(w, b + "3.linear1.", h.mean(2)))))
        x = x + h * g[:, :, None]
        outs.append(x)
    return F.relu(F.conv1d(torch.cat(outs, 1), w[p + "conv.weight"], w[p + "conv.bias"]))


def perceiver(w, context):
    """[B, T, 3 channels of ECAPA] -> [B, 32, 3]: before the rounding to digits."""
    p = "speaker_encoder.perceiver_sampler."
    x = linear(w, p + "proj_context.", context)
    lat = w[p + "latents"].expand(len(x), -1, -1)
    for i in range(2):
        q = F.linear(lat, w[p + f"layers.{i}.0.to_q.weight"]).view(*lat.shape[:2], 8, 64).transpose(1, 2)
        kv = F.linear(torch.cat([lat, x], 1), w[p + f"layers.{i}.0.to_kv.weight"])
        k, v = kv.view(len(x), -1, 2, 8, 64).permute(2, 0, 3, 1, 4)
        a = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        lat = lat + F.linear(a, w[p + f"layers.{i}.0.to_out.weight"])
        value, gate = linear(w, p + f"layers.{i}.1.0.", lat).chunk(2, -1)
        lat = lat + linear(w, p + f"layers.{i}.1.2.", F.gelu(gate) * value)
    lat = F.normalize(lat, dim=-1) * math.sqrt(lat.shape[-1]) * w[p + "norm.gamma"]
    return linear(w, "speaker_encoder.quantizer.project_in.", lat)


def fsq_levels(z):
    """The digits before rounding, continuous: digit = round of it."""
    levels = torch.tensor(speech.GLOBAL_LEVELS, device=z.device)
    half = (levels - 1) * (1 + 1e-3) / 2
    return torch.tanh(z + torch.atanh(0.5 / half)) * half - 0.5 + levels // 2
