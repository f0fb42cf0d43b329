"""Sizes of the demo voice, and the name and shape of every tensor in the published layout that is ever read (postnet and the
x-vector head are not).

A network is a dictionary from tensor name to parameter; lm.py and codec.py compute with it. What is saved is what is trained.
"""

import torch

import speech
import tokenizer

MEL = dict(sample_rate=16000, n_fft=1024, win_length=640, hop_length=320, mel_fmin=10, mel_fmax=None, num_mels=128)

# 25 MB as bf16.
LLM = dict(hidden=256, ff=768, layers=6, heads=4, kv=2, positions=768)
CODEC = dict(dim=192, vocos=224, vocos_ff=416, layers=4, channels=320, ecapa=128)
WAV2VEC2 = dict(conv=64, hidden=64, ff=128, heads=4)


def configs():
    """The four configuration files as dictionaries: llm, bicodec, wav2vec2, top."""
    llm = dict(architectures=["Qwen2ForCausalLM"], model_type="qwen2", hidden_act="silu", hidden_size=LLM["hidden"],
               intermediate_size=LLM["ff"], num_hidden_layers=LLM["layers"], num_attention_heads=LLM["heads"],
               num_key_value_heads=LLM["kv"], vocab_size=tokenizer.SIZE, max_position_embeddings=LLM["positions"], rms_norm_eps=1e-6, rope_theta=10000.0,
               tie_word_embeddings=True, use_sliding_window=False, torch_dtype="bfloat16")
    dim = CODEC["dim"]

    def block(n, inner, inner_ff, **more):
        return dict(input_channels=dim, vocos_dim=inner, vocos_intermediate_dim=inner_ff, vocos_num_layers=n,
                    out_channels=dim, **more)

    encoder = dict(block(2, 96, 192, sample_ratios=[1, 1]), input_channels=WAV2VEC2["hidden"])
    bicodec = dict(
        mel_params=MEL, encoder=encoder,
        decoder=dict(input_channel=dim, channels=CODEC["channels"], rates=[8, 5, 4, 2], kernel_sizes=[16, 11, 8, 4]),
        quantizer=dict(input_dim=dim, codebook_size=len(speech.TOKENS), codebook_dim=speech.CODEBOOK_DIM, commitment=0.25,
                       codebook_loss_weight=2.0, use_l2_normlize=True, threshold_ema_dead_code=0.2),
        speaker_encoder=dict(input_dim=128, out_dim=dim, latent_dim=32, token_num=speech.N_GLOBAL,
                             fsq_levels=list(speech.GLOBAL_LEVELS), fsq_num_quantizers=1, ecapa_channels=CODEC["ecapa"]),
        prenet=block(CODEC["layers"], CODEC["vocos"], CODEC["vocos_ff"], condition_dim=dim, sample_ratios=[1, 1],
                     use_tanh_at_final=False),
        postnet=block(1, 32, 64, use_tanh_at_final=False))
    wav2vec2 = dict(architectures=["Wav2Vec2ForPreTraining"], model_type="wav2vec2", feat_extract_norm="layer",
                    conv_bias=True, do_stable_layer_norm=True, feat_extract_activation="gelu", hidden_act="gelu",
                    layer_norm_eps=1e-5, conv_dim=[WAV2VEC2["conv"]] * 7, conv_kernel=[10, 3, 3, 3, 3, 2, 2],
                    conv_stride=[5, 2, 2, 2, 2, 2, 2], hidden_size=WAV2VEC2["hidden"],
                    intermediate_size=WAV2VEC2["ff"], num_hidden_layers=16, num_attention_heads=WAV2VEC2["heads"], num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4)
    top = dict(highpass_cutoff_freq=40, sample_rate=16000, segment_duration=2.4, max_val_duration=12,
               latent_hop_length=320, ref_segment_duration=6, volume_normalize=True)
    return dict(llm=llm, bicodec=bicodec, wav2vec2=wav2vec2, top=top)


def llm_shapes(c):
    h, ff = c["hidden_size"], c["intermediate_size"]
    kv = c["num_key_value_heads"] * (h // c["num_attention_heads"])
    t = {"model.embed_tokens.weight": (c["vocab_size"], h)}
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        t[p + "input_layernorm.weight"] = (h,)
        for n, out in (("q", h), ("k", kv), ("v", kv)):
            t[p + f"self_attn.{n}_proj.weight"], t[p + f"self_attn.{n}_proj.bias"] = (out, h), (out,)
        t[p + "self_attn.o_proj.weight"] = (h, h)
        t[p + "post_attention_layernorm.weight"] = (h,)
        t[p + "mlp.gate_proj.weight"], t[p + "mlp.up_proj.weight"] = (ff, h), (ff, h)
        t[p + "mlp.down_proj.weight"] = (h, ff)
    t["model.norm.weight"] = (h,)
    return t


def _vocos(t, p, cin, dim, ff, layers, cond=None):
    t[p + "embed.weight"], t[p + "embed.bias"] = (dim, cin, 7), (dim,)

    def norm(q):
        if cond:
            for n in ("scale", "shift"):
                t[q + n + ".weight"], t[q + n + ".bias"] = (dim, cond), (dim,)
        else:
            t[q + "weight"], t[q + "bias"] = (dim,), (dim,)

    norm(p + "norm.")
    for i in range(layers):
        q = f"{p}convnext.{i}."
        t[q + "gamma"] = (dim,)
        t[q + "dwconv.weight"], t[q + "dwconv.bias"] = (dim, 1, 7), (dim,)
        norm(q + "norm.")
        t[q + "pwconv1.weight"], t[q + "pwconv1.bias"] = (ff, dim), (ff,)
        t[q + "pwconv2.weight"], t[q + "pwconv2.bias"] = (dim, ff), (dim,)
    t[p + "final_layer_norm.weight"], t[p + "final_layer_norm.bias"] = (dim,), (dim,)


def _weight_norm(t, p, shape, bias):
    t[p + "bias"], t[p + "weight_g"], t[p + "weight_v"] = (bias,), (shape[0],) + (1,) * (len(shape) - 1), shape


def _ecapa(t, p, s):
    n = s["ecapa_channels"]

    def conv(n, o, i, k):
        t[n + "weight"], t[n + "bias"] = (o, i, k), (o,)

    def bn(n, o):
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            t[n + leaf] = (o,)
        t[n + "num_batches_tracked"] = ()

    conv(p + "layer1.conv.", n, s["input_dim"], 5)
    bn(p + "layer1.bn.", n)
    for layer in (2, 3, 4):
        b = f"{p}layer{layer}.se_res2block."
        for j in (0, 2):
            conv(b + f"{j}.conv.", n, n, 1)
            bn(b + f"{j}.bn.", n)
        for j in range(7):
            conv(b + f"1.convs.{j}.", n // 8, n // 8, 3)
            bn(b + f"1.bns.{j}.", n // 8)
        t[b + "3.linear1.weight"], t[b + "3.linear1.bias"] = (128, n), (128,)
        t[b + "3.linear2.weight"], t[b + "3.linear2.bias"] = (n, 128), (n,)
    conv(p + "conv.", 3 * n, 3 * n, 1)


def _perceiver(t, p, s):
    d = s["latent_dim"]
    inner = int(d * 4 * 2 / 3)
    t[p + "latents"] = (s["token_num"], d)
    t[p + "proj_context.weight"], t[p + "proj_context.bias"] = (d, 3 * s["ecapa_channels"]), (d,)
    for i in range(2):
        t[p + f"layers.{i}.0.to_q.weight"] = (512, d)
        t[p + f"layers.{i}.0.to_kv.weight"] = (1024, d)
        t[p + f"layers.{i}.0.to_out.weight"] = (d, 512)
        t[p + f"layers.{i}.1.0.weight"], t[p + f"layers.{i}.1.0.bias"] = (2 * inner, d), (2 * inner,)
        t[p + f"layers.{i}.1.2.weight"], t[p + f"layers.{i}.1.2.bias"] = (d, inner), (d,)
    t[p + "norm.gamma"] = (d,)


def _wave_generator(t, d):
    _weight_norm(t, "decoder.model.0.", (d["channels"], d["input_channel"], 7), d["channels"])
    for i, k in enumerate(d["kernel_sizes"]):
        cin, cout = d["channels"] // 2**i, d["channels"] // 2 ** (i + 1)
        b = f"decoder.model.{i + 1}.block."
        t[b + "0.alpha"] = (1, cin, 1)
        _weight_norm(t, b + "1.", (cin, cout, k), cout)
        for j in (2, 3, 4):
            t[b + f"{j}.block.0.alpha"] = (1, cout, 1)
            _weight_norm(t, b + f"{j}.block.1.", (cout, cout, 7), cout)
            t[b + f"{j}.block.2.alpha"] = (1, cout, 1)
            _weight_norm(t, b + f"{j}.block.3.", (cout, cout, 1), cout)
    last = len(d["rates"]) + 1
    t[f"decoder.model.{last}.alpha"] = (1, cout, 1)
    _weight_norm(t, f"decoder.model.{last + 1}.", (1, cout, 7), 1)


def bicodec_shapes(c):
    t = {}
    e = c["encoder"]
    _vocos(t, "encoder.encoder.", e["input_channels"], e["vocos_dim"], e["vocos_intermediate_dim"], e["vocos_num_layers"])
    for i in range(2):
        _vocos(t, f"encoder.downsample.{i}.1.", e["vocos_dim"], e["vocos_dim"], e["vocos_intermediate_dim"], 2)
    t["encoder.project.weight"], t["encoder.project.bias"] = (e["out_channels"], e["vocos_dim"]), (e["out_channels"],)
    q = c["quantizer"]
    _weight_norm(t, "quantizer.in_project.", (q["codebook_dim"], q["input_dim"], 1), q["codebook_dim"])
    _weight_norm(t, "quantizer.out_project.", (q["input_dim"], q["codebook_dim"], 1), q["input_dim"])
    t["quantizer.codebook.weight"] = (q["codebook_size"], q["codebook_dim"])
    s = c["speaker_encoder"]
    _ecapa(t, "speaker_encoder.speaker_encoder.", s)
    _perceiver(t, "speaker_encoder.perceiver_sampler.", s)
    p, n, d = "speaker_encoder.quantizer.", len(s["fsq_levels"]), s["latent_dim"]
    t[p + "project_in.weight"], t[p + "project_in.bias"] = (n, d), (n,)
    t[p + "project_out.weight"], t[p + "project_out.bias"] = (d, n), (d,)
    t["speaker_encoder.project.weight"] = (s["out_dim"], d * s["token_num"])
    t["speaker_encoder.project.bias"] = (s["out_dim"],)
    e = c["prenet"]
    dim, ff = e["vocos_dim"], e["vocos_intermediate_dim"]
    t["prenet.linear_pre.weight"], t["prenet.linear_pre.bias"] = (dim, e["input_channels"]), (dim,)
    for i in range(2):
        _vocos(t, f"prenet.downsample.{i}.1.", dim, dim, ff, 2)
    _vocos(t, "prenet.vocos_backbone.", dim, dim, ff, e["vocos_num_layers"], e["condition_dim"])
    t["prenet.linear.weight"], t["prenet.linear.bias"] = (e["out_channels"], dim), (e["out_channels"],)
    _wave_generator(t, c["decoder"])
    return t


def wav2vec2_shapes(c):
    t, cin = {}, 1
    for i, (dim, k) in enumerate(zip(c["conv_dim"], c["conv_kernel"])):
        p = f"feature_extractor.conv_layers.{i}."
        t[p + "conv.weight"], t[p + "conv.bias"] = (dim, cin, k), (dim,)
        t[p + "layer_norm.weight"], t[p + "layer_norm.bias"] = (dim,), (dim,)
        cin = dim
    h, ff, k = c["hidden_size"], c["intermediate_size"], c["num_conv_pos_embeddings"]
    t["feature_projection.layer_norm.weight"], t["feature_projection.layer_norm.bias"] = (cin,), (cin,)
    t["feature_projection.projection.weight"], t["feature_projection.projection.bias"] = (h, cin), (h,)
    p = "encoder.pos_conv_embed.conv."
    t[p + "bias"], t[p + "weight_g"] = (h,), (1, 1, k)
    t[p + "weight_v"] = (h, h // c["num_conv_pos_embedding_groups"], k)
    for i in range(c["num_hidden_layers"]):
        p = f"encoder.layers.{i}."
        for n in ("q", "k", "v", "out"):
            t[p + f"attention.{n}_proj.weight"], t[p + f"attention.{n}_proj.bias"] = (h, h), (h,)
        t[p + "layer_norm.weight"], t[p + "layer_norm.bias"] = (h,), (h,)
        t[p + "feed_forward.intermediate_dense.weight"], t[p + "feed_forward.intermediate_dense.bias"] = (ff, h), (ff,)
        t[p + "feed_forward.output_dense.weight"], t[p + "feed_forward.output_dense.bias"] = (h, ff), (h,)
        t[p + "final_layer_norm.weight"], t[p + "final_layer_norm.bias"] = (h,), (h,)
    t["encoder.layer_norm.weight"], t["encoder.layer_norm.bias"] = (h,), (h,)
    return t


def _initial(name, shape):
    leaf = name.rsplit(".", 1)[-1]
    if leaf in ("bias", "running_mean", "num_batches_tracked"):
        return torch.full(shape, 1.0 if ".norm.scale." in name else 0.0)
    if leaf in ("running_var", "alpha") or (leaf == "weight" and len(shape) == 1) or name.endswith("norm.gamma"):
        return torch.ones(shape)
    if leaf == "gamma":
        return torch.full(shape, 0.2)
    if leaf == "weight_g":                             # set from weight_v by weights()
        return torch.ones(shape)
    if leaf == "latents":
        return torch.randn(shape)
    gain = 0.1 if ".norm.scale." in name or ".norm.shift." in name else 1.0
    if name.endswith(("o_proj.weight", "down_proj.weight", "out_proj.weight", "output_dense.weight")):
        gain = 0.3                                     # ends of residual branches
    if name.endswith("proj_context.weight"):           # reads large numbers, and the latents are to stay apart
        gain = 0.03
    if name.endswith("to_out.weight"):
        gain = 0.3
    fan_in = max(1, int(torch.tensor(shape[1:]).prod())) if len(shape) > 1 else 1
    return torch.randn(shape) * gain * fan_in ** -0.5


def weights(shapes, seed=0):
    """Fresh parameters for a table of shapes."""
    torch.manual_seed(seed)
    w = {name: _initial(name, shape) for name, shape in shapes.items()}
    for name in w:
        if name.endswith("weight_g"):
            v = w[name[:-1] + "v"]
            over = [d for d in range(v.dim()) if w[name].shape[d] == 1]
            w[name] = v.pow(2).sum(over, keepdim=True).sqrt()
    return w


def begin_as_framing(w, d):
    """Set the wave generator so that it begins as the inverse of framing: the channels of its first layer are the samples of a
    frame, transposed convolutions lay them out in time, residual units add nothing, snakes hardly bend. Sound can then be
    learned at 50 frames a second (codec.samples_of_frames) before the generator itself learns at 16,000 samples."""
    used = d["channels"]
    w["decoder.model.0.weight_g"] *= 0.03              # as quiet as speech
    for i, (k, stride) in enumerate(zip(d["kernel_sizes"], d["rates"])):
        b, apart = f"decoder.model.{i + 1}.block.", used // stride
        w[b + "0.alpha"].fill_(0.01)
        v = w[b + "1.weight_v"]
        v *= 0.3
        v[:, :apart] = 0                               # beside the samples, other channels begin with anything
        channel = torch.arange(used)
        v[:used] = 0
        v[channel, channel % apart, (k - stride) // 2 + channel // apart] = 1
        w[b + "1.weight_g"] = v.pow(2).sum((1, 2), keepdim=True).sqrt()
        for j in (2, 3, 4):
            w[f"{b}{j}.block.3.weight_g"].zero_()
            for snake in (0, 2):
                w[f"{b}{j}.block.{snake}.alpha"].fill_(3)
        used = apart
    last = len(d["rates"]) + 1
    w[f"decoder.model.{last}.alpha"].fill_(0.01)
    v = w[f"decoder.model.{last + 1}.weight_v"]
    v.zero_()
    v[0, 0, 3] = 1
    w[f"decoder.model.{last + 1}.weight_g"].fill_(1)
