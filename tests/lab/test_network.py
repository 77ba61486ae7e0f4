from typing import Any

import torch
from transformers import Phi3Config, Phi3ForCausalLM

from pericia.lab.muon import Muon, orthogonal
from pericia.lab.network import Network, Shape, to_phi3
from pericia.lab.recipe import echo_batch, loss_of

SMALL = Shape(vocabulary=256, hidden=64, intermediate=128, layers=2, heads=2)


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
    batch = echo_batch(SMALL, 512, torch.Generator().manual_seed(0))
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
