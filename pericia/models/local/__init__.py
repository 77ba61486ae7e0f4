"""Any causal language model of transformers, in this process: several answers at a time, adapters switched a request.

model      the model as others see it: prompts in, generations out
decode     the thread in which all answers grow, one token each a step
batch      the answers of one step, with their keys and values
choose     the next token of one answer: likeliest or drawn, bias, penalties, grammar, log-probabilities
adapters   LoRA adapters beside one base
"""
