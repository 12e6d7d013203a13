import sys, torch
from pathlib import Path
from a4d.runtime import Runtime, StopRequest, prepare_process
from a4d.console import make_console
torch.set_num_threads(1)
from a4d.priors.compact.network import CompactConfig, CompactNetwork
from a4d.priors.compact.examples import ProceduralBatches, Recipe
from a4d.training.compact import CompactTrainee
from a4d.training.trainer import Trainer, TrainingConfig
from a4d.training.optimisers import Group, RateSchedule
hours=float(sys.argv[2]); folder=Path(sys.argv[1])
torch.manual_seed(0)
net=CompactNetwork(CompactConfig()); recipe=Recipe()
MUON=r"(first|second|to_qkv|to_out|to_text_kv|widen|narrow|down|up|join|in_proj|out_proj|linear[12]|embed\.layers\.[24])(\.|_)weight$"
cfg=TrainingConfig(hours=hours,groups=(Group(pattern=MUON,optimiser='muon',rate=0.012),Group(pattern='.',rate=1.2e-3)),average=0.998,
  rates=RateSchedule(warm_up=40,decay_from=0.45,end=0.02),checkpoint_seconds=120,validate_seconds=480)
rt=Runtime(console=make_console())
with rt.stop.listening():
    Trainer(CompactTrainee(net,recipe),ProceduralBatches(recipe,0),cfg,folder,rt).run()
