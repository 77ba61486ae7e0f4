from typing import Any

import torch
from transformers import Phi3Config, Phi3ForCausalLM

from pericia.lab.looks import NAME, Look
from pericia.lab.muon import Muon, orthogonal
from pericia.lab.network import Network, Shape, Shown, to_phi3
from pericia.lab.recipe import loss_of
from pericia.lab.tokens import ANSWER, PADDING, Batch

SMALL = Shape(vocabulary=256, hidden=64, intermediate=128, layers=2, heads=2)


def _echo() -> Batch:
    """Return random ids said four times, of which all but the first saying can be learned."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(8, SMALL.vocabulary, (8, 16), generator=generator).repeat(1, 4)
    roles = torch.full_like(ids, PADDING)
    roles[:, 17:] = ANSWER
    return Batch(ids.numpy(), roles.numpy(), [])


def _phi3(shape: Shape) -> Any:
    model: Any = Phi3ForCausalLM(
        Phi3Config(
            vocab_size=shape.vocabulary,
            hidden_size=shape.hidden,
            intermediate_size=shape.intermediate,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.heads,
            tie_word_embeddings=True,
            pad_token_id=0,
        )
    )
    return model.eval()


def test_logits_are_those_of_transformers() -> None:
    torch.manual_seed(0)
    network = Network(SMALL)
    for weight in network.parameters():
        if weight.ndim == 2 and not weight.any():
            torch.nn.init.normal_(weight, std=0.1)
    rounded = {n: p.detach().bfloat16().float() for n, p in network.named_parameters()}
    network.load_state_dict(rounded)
    model = _phi3(SMALL)
    missing, unexpected = model.load_state_dict(to_phi3(rounded), strict=False)
    assert missing == ["lm_head.weight"]
    assert unexpected == []
    model.tie_weights()
    ids = torch.randint(0, 256, (2, 40))
    with torch.no_grad():
        ours, theirs = network.logits(network(ids)), model(input_ids=ids).logits
    assert torch.allclose(ours, theirs, atol=2e-4)


def test_orthogonal_gives_singular_values_near_one() -> None:
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonal(torch.randn(3, 64, 128)).float())
    assert values.min() > 0.5
    assert values.max() < 1.4


def test_a_few_steps_lower_the_loss_and_a_restart_goes_on_the_same() -> None:
    torch.manual_seed(0)
    network = Network(SMALL).bfloat16()
    optimizer = Muon(network)
    batch = _echo()
    losses = []
    for _ in range(12):
        loss = loss_of(network, batch, 0.3, 1.0)
        torch.autograd.backward(loss)
        losses.append(loss.item())
        optimizer.step(1.0)
    assert losses[-1] < losses[0] - 0.5
    state = {name: tensor.clone() for name, tensor in optimizer.state().items()}
    copy = Network(SMALL).bfloat16()
    again = Muon(copy)
    again.load(state, optimizer.num_steps)
    for net, opt in ((network, optimizer), (copy, again)):
        torch.autograd.backward(loss_of(net, batch, 0.3, 1.0))
        opt.step(1.0)
    assert all(
        torch.equal(a, b) for a, b in zip(network.parameters(), copy.parameters(), strict=True)
    )


def test_a_head_learns_to_look_where_it_is_shown() -> None:
    torch.manual_seed(0)
    q, k = torch.zeros(1, 4, 8), torch.zeros(1, 4, 8)
    q[0, 3, 0] = k[0, 1, 0] = 10.0
    targets = torch.tensor([[False, True, False, False], [False, False, False, True]])
    at = torch.tensor([3, 3])
    weight = torch.ones(2)
    right, wrong = (
        Shown(0, torch.tensor([0]), at[:1], targets[i : i + 1], weight[:1]).loss(q, k)
        for i in (0, 1)
    )
    assert right < 1e-6
    assert wrong > 30
    future = Shown(0, torch.tensor([0]), torch.tensor([0]), targets[:1] | True, weight[:1])
    assert future.loss(q, k) < 1e-6  # position 0 sees itself alone


def test_looks_are_part_of_the_loss() -> None:
    torch.manual_seed(0)
    network = Network(SMALL).bfloat16()
    plain, shown = _echo(), _echo()
    shown.looks.append((0, Look(NAME, 40, (24,))))
    assert loss_of(network, shown, 0.3, 1.0) > loss_of(network, plain, 0.3, 1.0) + 0.1
