"""LoRA and QLoRA on this machine, through TRL and PEFT, with every default that harms overridden.

trainer      prepare, then train: the page
rows         examples to token ids and labels, so that TRL neither renders, cuts nor drops anything
base         the base model: config, tokenizer, weights in the precision that the hardware has, the 4-bit guard
adapter      which layers get an adapter, how it is attached and written
arguments    our settings in TRL's words
steps        TRL's trainer with the loss computed where answers stand, and progress passed on
checkpoints  which one to go on from
checks       what must hold after training, or the run has failed
"""
