"""The same losses, step by step, as transformers' Trainer from the same weights and batches."""

import numpy as np
import pytest
import torch
from torch import nn
from training_toy import LABEL

from affectkit.training.fit import Problem
from affectkit.training.loading import Feed
from affectkit.training.objective import build_objective
from affectkit.training.problem import Settings
from affectkit.training.stages import Stage
from affectkit.training.stepping import Stepper

STEPS, RATE, DECAY = 20, 2e-3, 0.01


def wav2vec2():
    """Of the wav2vec2-base shape in small, without dropout, layer drop and SpecAugment."""
    from transformers import Wav2Vec2Config, Wav2Vec2ForSequenceClassification

    torch.manual_seed(0)
    config = Wav2Vec2Config(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, conv_dim=(16, 16, 16),
        conv_stride=(5, 4, 4), conv_kernel=(10, 4, 4), num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
        classifier_proj_size=24, num_labels=3, hidden_dropout=0.0, activation_dropout=0.0, attention_dropout=0.0,
        feat_proj_dropout=0.0, final_dropout=0.0, layerdrop=0.0, apply_spec_augment=False,
    )  # fmt: skip
    return Wav2Vec2ForSequenceClassification(config)


class Adapted(nn.Module):
    """The classifier as a network of the loop."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, inputs):
        return {"label": self.model(input_values=inputs).logits}

    def parts(self):
        return [("encoder", list(self.model.wav2vec2.parameters())),
                ("head", [*self.model.projector.parameters(), *self.model.classifier.parameters()])]  # fmt: skip


class Clips:
    """Tones of .1 s in noise, a pitch for each class."""

    def __init__(self, count):
        rng = np.random.default_rng(0)
        label = rng.integers(0, 3, count)
        tones = np.sin(np.outer(300.0 * (1 + label), 2 * np.pi * np.arange(1600) / 16000))
        self.waves = (tones + 0.3 * rng.standard_normal(tones.shape)).astype(np.float32)
        self.ids = [f"clip-{number}" for number in range(count)]
        self.costs = np.ones(count)
        self.truth = {"label": label}

    def load(self, position, draw):
        return self.waves[position]

    def collate(self, items):
        return {"inputs": torch.from_numpy(np.stack(items))}


def trainers_losses(rows, order, accumulation, folder):
    from transformers import Trainer, TrainingArguments

    losses = []

    class Recording(Trainer):
        def compute_loss(self, model, inputs, *arguments, **options):
            loss = super().compute_loss(model, inputs, *arguments, **options)
            losses.append(float(loss.detach()))
            return loss

        def _get_train_sampler(self, *_):
            return torch.utils.data.SequentialSampler(dataset)

    dataset = [{"input_values": rows.waves[row], "labels": int(rows.truth["label"][row])} for row in order]
    options = TrainingArguments(
        str(folder), num_train_epochs=1, per_device_train_batch_size=2, gradient_accumulation_steps=accumulation,
        learning_rate=RATE, weight_decay=DECAY, lr_scheduler_type="linear", warmup_steps=0, max_grad_norm=1.0,
        optim="adamw_torch", use_cpu=True, report_to="none", save_strategy="no", logging_strategy="no",
        disable_tqdm=True,
    )  # fmt: skip
    trainer = Recording(wav2vec2(), options, train_dataset=dataset)
    # The Trainer believes that any model with **kwargs divides its loss by the rows of the step itself. This one gives
    # the mean of each batch, so that its gradients would be summed up instead of averaged.
    trainer.model_accepts_loss_kwargs = False
    trainer.train()
    return losses


@pytest.mark.parametrize("accumulation", [1, 2])
def test_losses_are_the_trainers(train, tmp_path, monkeypatch, accelerator, accumulation):
    rows = Clips(2 * STEPS * accumulation)
    network = Adapted(wav2vec2())
    problem = Problem(network, rows, None, build_objective([LABEL], rows.truth, class_weight="none"))
    losses, backward = [], Stepper.backward

    def recording(stepper, *arguments, **options):
        losses.append(backward(stepper, *arguments, **options))
        return losses[-1]

    monkeypatch.setattr(Stepper, "backward", recording)
    train(problem, [Stage("whole", "all", 1, str(RATE), "linear")], tmp_path / "ours", batch_size=2,
          accumulation=accumulation, weight_decay=DECAY, clip=1.0)  # fmt: skip
    order = np.concatenate(Feed(rows, Settings(batch_size=2, seed=3), accelerator).batches(0, 0))
    theirs = trainers_losses(rows, order, accumulation, tmp_path / "theirs")
    assert len(losses) == len(theirs) == STEPS * accumulation
    np.testing.assert_allclose(losses, theirs, rtol=1e-5)
    assert np.mean(losses[-5:]) < 0.95 * np.mean(losses[:5])  # and they learned
