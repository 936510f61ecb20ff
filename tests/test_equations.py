"""Fused vectors and losses recomputed window by window, from the equations of the systems' docstrings.

A window is taken as the tokens that it has, without padding or masks, so that a forgotten mask shows. Where an equation
writes W x, a layer that has a bias adds it. A mean or a sum of nothing is 0.
"""

import math

import numpy as np
import torch
from conftest import as_batch, random_data
from scipy.special import rel_entr
from torch.nn.functional import gelu

import helo

WIDTH, SHAPES = 8, {"bvp": (5, 3), "eda": (4, 2), "face": (6, 3)}
NOTHING = torch.zeros(WIDTH, dtype=torch.float64)


def ragged():
    """Masks with gaps; windows that lack a modality, the body, the face, everything."""
    rng = np.random.default_rng(1)
    masks = {m: rng.random((20, tokens)) < 0.7 for m, (tokens, _) in SHAPES.items()}
    for window, missing in enumerate(["", "eda", "bvp", "face", "bvp eda", "eda face", "bvp eda face"]):
        for m in SHAPES:
            masks[m][window] = m not in missing.split()
    return masks


def tied():
    """Distributions with a zero; some have several strongest emotions, one has all."""
    d = random_data(20).distributions.astype(float)
    for row, firsts in enumerate(([0, 1], [1, 2], [0, 1], [2, 3, 4], [0, 1, 2, 3, 4])):
        d[row, firsts] = d[row].max()
    d[5, d[5].argmin()] = 0
    return torch.as_tensor(d / d.sum(1, keepdims=True))


DATA = random_data(20, shapes=SHAPES, roles={"physiological": ["bvp", "eda"], "behavioral": ["face"]}, masks=ragged())
BATCH = {m: torch.as_tensor(x).double() for m, x in DATA.signals.items()}, as_batch(DATA)[1]
TRUTH = tied()
STRONGEST = [set(np.flatnonzero(np.isclose(d, d.max()))) for d in TRUTH.numpy()]


def ready(name, width=WIDTH, **options):
    """A model in float64, every weight moved, so that nothing is hidden by a small start."""
    model = helo.build(name, DATA, seed=0, width=width, **options).eval().double().requires_grad_(False)
    random = torch.Generator().manual_seed(1)
    for p in model.parameters():
        p += 0.3 * torch.randn(p.shape, generator=random, dtype=torch.float64)
    return model


def windows(model):
    """Of every window, the tokens of each stream that are there, (n, d)."""
    streams = model.streams(*BATCH)
    return [[x[i][mask[i]] for x, mask in streams] for i in range(len(DATA))]


def check(model, by_hand):
    """The fused vector of every window is what `by_hand` makes of its tokens."""
    found = model.fuse(model.streams(*BATCH))[0]
    torch.testing.assert_close(found, torch.stack([by_hand(*tokens) for tokens in windows(model)]))
    assert found.std(0).min() > 1e-3  # each of its numbers tells windows apart


def linear(f, x):
    return x @ f.weight.T + (0 if f.bias is None else f.bias)


def layer_norm(f, x):
    centred = x - x.mean(-1, keepdim=True)
    return centred / ((centred**2).mean(-1, keepdim=True) + f.eps).sqrt() * f.weight + f.bias


def mean(x):
    return x.sum(0) / max(len(x), 1)


def cross(f, x, y):
    """LayerNorm(x + W softmax(Q K^T / sqrt(d / heads)) V), head after head."""
    q, k, v = (linear(g, t) for g, t in ((f.attention.query, x), (f.attention.key, y), (f.attention.value, y)))
    heads = zip(*(t.split(t.shape[1] // f.attention.heads, 1) for t in (q, k, v)), strict=True)
    answers = [(q @ k.T / q.shape[1] ** 0.5).softmax(1) @ v for q, k, v in heads]
    return layer_norm(f.norm, x + linear(f.attention.out, torch.cat(answers, 1)))


def block(f, x, y):
    """x attends to y; then a feed-forward layer, with a residual and LayerNorm."""
    x = cross(f.attend, x, y)
    return layer_norm(f.norm, x + linear(f.feed[3], gelu(linear(f.feed[0], x))))


def test_fbp_weighs_frames_twice_and_pools_products():
    """alpha by the frame, beta by [frame; f']; SumPool_k((U^T a) * (V^T b)), its signed root, of length sqrt(d)."""
    model = ready("fbp", factors=3)

    def attend(f, frames):
        alpha = [1 / (1 + torch.exp(-(x @ f.own.weight[0]))) for x in frames]
        middle = sum(a * x for a, x in zip(alpha, frames, strict=True)) / sum(alpha) if alpha else None
        both = [torch.cat([x, middle]) for x in frames]
        weight = [a / (1 + torch.exp(-(x @ f.relation.weight[0]))) for a, x in zip(alpha, both, strict=True)]
        total = sum((w * x for w, x in zip(weight, both, strict=True)), NOTHING.repeat(2))
        return total / sum(weight) if weight else total

    def by_hand(body, face):
        a, b = (linear(u, attend(f, x)) for u, f, x in zip(model.expand, model.attend, (body, face), strict=True))
        z = torch.stack([sum(a[3 * o + k] * b[3 * o + k] for k in range(3)) for o in range(WIDTH)])
        z = z.sign() * ((z.abs() + 1e-4).sqrt() - 1e-2)
        return z / (z**2).sum().sqrt() * WIDTH**0.5

    check(model, by_hand)


def test_hfgcn_joins_the_streams_then_each_modality_s_neighbours():
    """Stage 1: the other stream by softmax_j(W x_i . y_j / sqrt(d)); stage 2: before, itself, after; then the plane."""
    model = ready("hfgcn")
    before, itself, after = model.along

    def node(x, t):
        around = linear(itself, x[t]) + (linear(before, x[t - 1]) if t > 0 else 0)
        around = around + (linear(after, x[t + 1]) if t + 1 < len(x) else 0)
        return layer_norm(model.norm, x[t] + around.relu())

    def by_hand(bvp, eda, face):
        sides, states = [[bvp, eda], [face]], []
        for k, modalities in enumerate(sides):
            y, nodes = torch.cat(sides[1 - k]), []
            for x in modalities:
                weights = (linear(model.affinity, x) @ y.T / WIDTH**0.5).softmax(1)
                x = layer_norm(model.norm, x + linear(model.between[k], weights @ y).relu())
                nodes += [node(x, t) for t in range(len(x))]
            states.append(sum(nodes, NOTHING) / max(len(nodes), 1))
        vector = torch.cat(states)
        return torch.cat([vector, torch.tanh(linear(model.plane, vector))])

    check(model, by_hand)


def test_aimdit_looks_at_a_token_as_a_plane_of_8_rows():
    """1 x 1, 3 x 3 and 5 x 5 convolutions summed, GELU, joined, a residual; attention each way, a block a stream."""
    model = ready("aimdit", width=24)

    def inception(f, x):
        planes, mixed = x.reshape(-1, 8, 3), torch.zeros(len(x), 8, 3).double() + f.join.bias
        for row, column in np.ndindex(8, 3):
            channels = sum(branch.bias for branch in f.branches).expand(len(x), -1)
            for size, branch in zip((1, 3, 5), f.branches, strict=True):
                for i, j in np.ndindex(size, size):
                    r, c = row + i - size // 2, column + j - size // 2
                    if 0 <= r < 8 and 0 <= c < 3:
                        channels = channels + planes[:, r, c, None] * branch.weight[:, 0, i, j]
            mixed[:, row, column] += gelu(channels) @ f.join.weight[0, :, 0, 0]
        return x + mixed.reshape(len(x), 24)

    def by_hand(body, face):
        body, face = inception(model.augment[0], body), inception(model.augment[1], face)
        asked = cross(model.cross[0], body, face), cross(model.cross[1], face, body)
        return torch.cat([mean(block(f, x, x)) for f, x in zip(model.own, asked, strict=True)])

    check(model, by_hand)


def test_mpt_hcl_s_prompts_are_keys_and_values_of_every_layer():
    """Prompts LayerNorm(W_up GELU(W_down y) * sigmoid(W_gate y)), in every layer the same; they ask nothing themselves.

    Of a window without the strong modality, its first token at the training mean asks.
    """
    model = ready("mpt-hcl", depth=2)
    assert DATA.query == "bvp"

    def prompt(f, y):
        return layer_norm(f.norm, linear(f.up, gelu(linear(f.down, y))) / (1 + torch.exp(-linear(f.gate, y))))

    def by_hand(strong, eda, face):
        prompts = torch.cat([prompt(model.filters[1], eda), prompt(model.filters[2], face)])
        if not len(strong) and len(prompts):
            strong = (model.encoders[0].linear.bias + model.encoders[0].offset[0])[None]
        for layer in model.layers:
            strong = block(layer, strong, torch.cat([strong, prompts]))
        return mean(strong)

    check(model, by_hand)


def test_connection_vectors_are_seen_by_both_streams_and_averaged_between_them():
    """Joint vectors and own tokens in, their mean over the streams on; both classifiers' logits, KL and contrast."""
    model = ready("connection", depth=2, vectors=3)
    prediction, pooled, logits, heads = model(*BATCH), [], [], (model.head, model.second)
    for streams in windows(model):
        joint = model.vectors
        for blocks in model.layers:
            both = [torch.cat([joint, x]) for x in streams]
            both = [block(f, x, x) for f, x in zip(blocks, both, strict=True)]
            joint, streams = (both[0][:3] + both[1][:3]) / 2, [x[3:] for x in both]
        pooled.append([mean(x) + mean(joint) for x in streams])
        logits.append([linear(f[4], gelu(linear(f[1], x))) for f, x in zip(heads, pooled[-1], strict=True)])
    answers = torch.stack([((first + second) / 2).softmax(0) for first, second in logits])
    torch.testing.assert_close(prediction.distributions, answers)

    terms = model.losses(prediction, TRUTH)
    kl = [rel_entr(t.numpy(), x.softmax(0).numpy()).sum() for t, both in zip(TRUTH, logits, strict=True) for x in both]
    np.testing.assert_allclose(terms["classifiers"], np.mean(kl))
    z, contrast = [torch.cat(both) / torch.cat(both).norm() for both in pooled], []
    for i in range(len(z)):
        others = [j for j in range(len(z)) if j != i]
        w = [len(STRONGEST[i] & STRONGEST[j]) / len(STRONGEST[i] | STRONGEST[j]) for j in others]
        nearness = np.array([np.exp((z[i] @ z[j]).item() / 0.1) for j in others])
        contrast.append(-np.average(np.log(nearness / nearness.sum()), weights=w))
    np.testing.assert_allclose(terms["contrast"], np.mean(contrast))


def test_low_rank_tensor_sums_products_of_all_modalities():
    """z = sum_r prod_m W_m^r [1; h_m], h_m a modality's mean; sqrt(d) z / |z|."""
    model = ready("low-rank-tensor", rank=3)

    def by_hand(*modalities):
        z = NOTHING
        for r in range(3):
            sides = zip(model.factors, ([1, *mean(x)] for x in modalities), strict=True)
            sums = (sum(h * row for h, row in zip(side, f[r], strict=True)) for f, side in sides)
            z = z + math.prod(sums)
        return z / (z**2).sum().sqrt() * WIDTH**0.5

    check(model, by_hand)


def test_tensor_is_the_outer_product_of_both_streams():
    """[1; a] times [1; b], each with each, a and b tanh(W LayerNorm(mean)); only the corner says nothing."""
    model = ready("tensor", small=3)
    found = model.fuse(model.streams(*BATCH))[0]
    for i, streams in enumerate(windows(model)):
        a, b = (linear(f[1], layer_norm(f[0], mean(x))).tanh() for f, x in zip(model.shrink, streams, strict=True))
        np.testing.assert_allclose(found[i], [x * y for x in (1, *a.tolist()) for y in (1, *b.tolist())])
    assert (found.std(0) > 1e-3).tolist() == [False] + 15 * [True]


def test_m2fnet_s_triplets():
    """mean_i max(0, |u_i - u_pos| - |u_i - u_neg| + Y_i,pos - Y_i,neg) over who has a negative, then over modalities.

    Positive: the most similar label, 1 - Jensen-Shannon distance; negative: the nearest without a common strongest
    emotion; both among the windows that have the modality, whose z is its encoded mean.
    """
    model, expected, hinges = ready("m2fnet"), [], []
    tokens, d = windows(model), TRUTH.numpy()
    taught = 20 * np.pad(d, ((0, 0), (0, WIDTH - 5)))  # so that some triplets are as they should be

    def similar(p, q):
        m = (p + q) / 2
        return 1 - ((rel_entr(p, m) + rel_entr(q, m)).sum() / 2 / np.log(2)) ** 0.5

    for k, encode in enumerate(model.encode):
        z = {i: mean(block(encode, x[k], x[k])).numpy() + taught[i] for i, x in enumerate(tokens) if len(x[k])}
        u, terms = {i: x / np.linalg.norm(x) for i, x in z.items()}, []
        for i in u:
            y = {j: similar(d[i], d[j]) for j in u if j != i}
            far = {j: np.linalg.norm(u[i] - u[j]) for j in y}
            strangers = [j for j in y if not STRONGEST[i] & STRONGEST[j]]
            if strangers:
                positive, negative = max(y, key=y.get), min(strangers, key=far.get)
                terms.append(far[positive] - far[negative] + y[positive] - y[negative])
        expected.append(np.maximum(terms, 0).mean())
        hinges += terms
    assert min(hinges) < 0 < max(hinges)
    prediction = model(*BATCH)
    prediction.hidden["extracted"] = [z + torch.as_tensor(taught) for z in prediction.hidden["extracted"]]
    found = model.losses(prediction, TRUTH)["triplet"]
    np.testing.assert_allclose(found, np.mean(expected), rtol=1e-5)  # a root with 1e-8 added, log 2 in float32


def test_gban_reads_aligns_and_gates():
    """Convolution of three tokens, pooling of two, torch's LSTM both ways; alignment; the sum of both gates.

    A last state is the mean of those of the stream's modalities that are there, each direction's own last.
    """
    model = ready("gban")

    def read(m, x):
        kernel, found = model.encode.convolve[m].reshape(3, WIDTH, WIDTH), []
        for t in range(len(x)):
            near = [(k, t + k - 1) for k in range(3) if 0 <= t + k - 1 < len(x)]
            found.append((sum(x[s] @ kernel[k] for k, s in near) + model.encode.convolve_bias[m, 0]).relu())
        if not found:
            return x, x  # no states and no last one
        pooled = [torch.stack(found[t : t + 2]).amax(0) for t in range(0, len(x), 2)]
        lstm = torch.nn.LSTM(WIDTH, WIDTH // 2, bidirectional=True).double().requires_grad_(False)
        for suffix, own in (("", m), ("_reverse", len(SHAPES) + m)):
            getattr(lstm, f"weight_ih_l0{suffix}").copy_(model.encode.enter[own].T)
            getattr(lstm, f"weight_hh_l0{suffix}").copy_(model.encode.recur[own].T)
            getattr(lstm, f"bias_ih_l0{suffix}").copy_(model.encode.bias[own, 0])
            getattr(lstm, f"bias_hh_l0{suffix}").zero_()
        states, (last, _) = lstm(torch.stack(pooled))
        return states, last.reshape(1, WIDTH)

    def gate(f, a, b):
        z = torch.sigmoid(linear(f.gate, torch.cat([a, b])))
        return z * torch.tanh(linear(f.first, a)) + (1 - z) * torch.tanh(linear(f.second, b))

    def by_hand(*modalities):
        states, last = zip(*(read(m, x) for m, x in enumerate(modalities)), strict=True)
        s, t = torch.cat(states[:2]), states[2]
        h_s, h_t = mean(torch.cat(last[:2])), mean(last[2])
        scores = torch.tanh(s @ t.T)
        a_s, a_t = mean(scores.softmax(0).T @ s), mean(scores.softmax(1) @ t)
        return layer_norm(model.norm, gate(model.aligned, a_s, a_t) + gate(model.last, h_s, h_t))

    check(model, by_hand)
