"""Goes on with a checkpoint by upstream's own trainer, for one epoch on the CPU.

Usage: train_on.py SAVE_PATH DATA_PATH LOADED EPOCHS
SAVE_PATH holds the checkpoints; LOADED is where the optimiser's state goes as it was read, before anything is trained.
Written for speculators 0.4.0.1.
"""

import logging
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch.utils.data import DataLoader

from speculators.model import SpeculatorModel
from speculators.train.data import Eagle3SampleFileDataset, create_collate_fn
from speculators.train.distributed_batch_sampler import MultipackDistributedBatchSamplerV2
from speculators.train.trainer import Trainer, TrainerConfig

LENGTH = 128


def main():
    save_path, data_path, loaded, epochs = sys.argv[1:5]
    logging.disable(logging.WARNING)
    last = max((int(d.name) for d in Path(save_path).iterdir() if d.name.isdigit()))
    folder = Path(save_path) / str(last)
    if SpeculatorModel.registry_auto_discovery:
        SpeculatorModel.auto_populate_registry()
    kind = SpeculatorModel.registry["eagle3"]
    config = kind.config_class.from_pretrained(folder)
    config.transformer_layer_config._attn_implementation = "simple_flex_attention"
    weights = load_file(folder / "model.safetensors")
    model = kind(config=config, t2d=weights["t2d"], d2t=weights["d2t"])
    files = sorted(str(path) for path in Path(data_path).glob("data_*.pt"))
    data = Eagle3SampleFileDataset(max_len=LENGTH, file_list=files)
    sampler = MultipackDistributedBatchSamplerV2(
        batch_max_length=LENGTH, lengths=data.approx_lengths, num_replicas=1, rank=0
    )
    loader = DataLoader(data, batch_sampler=sampler, collate_fn=create_collate_fn(LENGTH))
    steps = {"use_off_policy_tokens": False, "ttt_steps": 3, "ttt_step_loss_decay": 1.0}
    trainer = Trainer(
        model,
        TrainerConfig(
            lr=1e-3,
            num_epochs=int(epochs),
            save_path=save_path,
            resume_from_checkpoint=True,
            local_rank="cpu",
            train_call_kwargs=steps,
            val_call_kwargs=steps,
        ),
        loader,
    )
    state = {
        name: trainer.opt.state[parameter]
        for name, parameter in model.named_parameters()
        if parameter in trainer.opt.state
    }
    weights = {name: tensor for name, tensor in model.state_dict().items() if name in weights}
    torch.save({"optimizer": state, "weights": weights, "steps": trainer.scheduler.last_epoch}, loaded)
    trainer.run_training()


if __name__ == "__main__":
    import speculators.train.checkpointer as checkpointer
    import torch.nn.attention.flex_attention as flex

    # Without an accelerator torch knows no current one, and this trainer asks for it.
    checkpointer.get_current_device = lambda: "cpu"
    # Torch refuses gradients of this attention on a CPU, though its dense form has them.
    flex._validate_device = lambda *tensors: None
    main()
