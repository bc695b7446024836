"""Rewards by their names: rules, reward models with their tokenizers, and functions of the user's own."""

from collections.abc import Mapping, Sequence

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.measures.functions import load_function, source_digest
from corpusmill.pipelines.description import load
from corpusmill.pipelines.prompting import prompt_ids, require_tokenizer
from corpusmill.tokenizer.encoder import Tokenizer
from corpusmill.training.reinforcement.grpo import Rewarding
from corpusmill.training.reinforcement.reward_model import RewardModel
from corpusmill.training.rewards.named import MODEL, NamedReward, Reward, checked, labels, needs_answers, rule


def rewarding(
    written: Sequence[NamedReward], models: Mapping[str, str], answers: Sequence[str | None], device: str, workers: int
) -> Rewarding:
    """One function of all rewards.

    Args:
        written: the rewards.
        models: folders of reward models, by the names that rewards have them by.
        answers: of all prompts.
        device: where reward models compute.
        workers: programs that run side by side.

    Raises UserError for a reward that cannot be made here, and for prompts without the answers that one needs.
    """
    missing = next((number for number, answer in enumerate(answers) if answer is None), None)
    functions: dict[str, Reward] = {}
    for label, reward in zip(labels(written), written, strict=True):
        if needs_answers(reward) and missing is not None:
            raise UserError(f"prompt {missing} has no answer, which the reward '{reward.name}' compares with")
        functions[label] = checked(reward, _function(reward, models, device, workers))

    def all_rewards(
        prompts: Sequence[str], completions: Sequence[str], answers: Sequence[str | None]
    ) -> dict[str, Sequence[float]]:
        return {label: function(prompts, completions, answers) for label, function in functions.items()}

    return all_rewards


def _function(reward: NamedReward, models: Mapping[str, str], device: str, workers: int) -> Reward:
    if reward.name == MODEL:
        return model_reward(models[reward.argument], device)
    if reward.is_function:
        function: Reward = load_function(f"{reward.name}:{reward.argument}")
        return function
    return rule(reward, workers)


def model_reward(folder: str, device: str) -> Reward:
    """The scores of a reward model, over prompt, completion and the end of the document."""
    model = RewardModel(folder, device)
    of_run = load("corpusmill.pipelines.inspect.places:tokenizer_of_run")(folder)
    if of_run is None:
        what = "the tokenizer of this reward model is not known here"
        raise UserError(what, where=folder, hint="keep the folders that it was made of beside it")
    tokenizer = Tokenizer.load(of_run)
    shards = model.trained.shards
    require_tokenizer(tokenizer, shards, model.trained.config.vocab_size, of_run)
    end = tokenizer.special.role("eos")

    def score(prompts: Sequence[str], completions: Sequence[str], answers: Sequence[str | None]) -> Sequence[float]:
        begun = [prompt_ids(tokenizer, shards, prompt) for prompt in prompts]
        return model.score(begun, [[*tokenizer.encode(text), end] for text in completions])

    return score


def identity_of(written: Sequence[NamedReward]) -> str:
    """What rewards are, as far as their names and the sources of functions say."""
    return " ".join(
        f"{one.weight}*{one.name}:{one.argument}"
        + (f"@{source_digest(f'{one.name}:{one.argument}')}" if one.is_function else "")
        for one in written
    )
