import numpy as np
import pytest

import helo


def test_neither_stream_alone_says_anything():
    data = helo.load("pairing", subjects=2, windows=4000, noise=0.0)
    emotion = data.distributions.argmax(1)
    signs = {m: x[:, 0].argmax(1) for m, x in data.signals.items()}
    for sign in signs.values():
        shares = np.stack([np.bincount(emotion[sign == s], minlength=4) / (sign == s).sum() for s in range(4)])
        np.testing.assert_allclose(shares, 0.25, atol=0.03)
    assert ((signs["body"] + signs["face"]) % 4 == emotion).all()
    np.testing.assert_allclose(np.sort(data.distributions[0]), [0.1, 0.1, 0.1, 0.7], atol=1e-6)


def test_bad_arguments():
    for options in ({"subjects": 1}, {"tokens": 1}, {"strength": 0.1}, {"noise": -1}):
        with pytest.raises(ValueError, match="expected at least 2 subjects"):
            helo.load("pairing", **options)
