"""LoRA, QLoRA and full training on this machine, through TRL and PEFT, with every default that harms overridden.

trainer      prepare, then train: the page
rows         examples to token ids and labels, so that TRL neither renders, cuts nor drops anything
base         the base model: config, tokenizer, weights in the precision that the hardware has, the 4-bit guard
adapter      which layers get an adapter, how it is attached and written
arguments    our settings in TRL's words
steps        TRL's trainers: answers or pairs, evaluation, progress
checkpoints  which one to go on from
checks       what must hold after training, or the run has failed
packing      rows of a batch one after another in one, none of which sees another
loss, lora   the two places where PEFT and TRL lose time on a CPU
memory       what a training will take, found on fake tensors; shape, rate: without weights, and how fast
record       what the manifest says of a training
processes    several processes that train together; full disks
"""
