"""What a user can ask of each command; imports no torch, so that `--help` comes at once."""

from autoseg.requests.compare import CompareRequest
from autoseg.requests.cost import CostRequest
from autoseg.requests.crf import CRFRequest
from autoseg.requests.data import DataRequest
from autoseg.requests.evaluate import EvaluateRequest
from autoseg.requests.export import ExportRequest
from autoseg.requests.latency import LatencyRequest
from autoseg.requests.networks import NetworksRequest
from autoseg.requests.predict import PredictRequest
from autoseg.requests.retrain import RetrainRequest
from autoseg.requests.search import Preset, SearchRequest
from autoseg.requests.show import ShowRequest
from autoseg.requests.tune import TuneRequest

__all__ = [
    "CRFRequest",
    "CompareRequest",
    "CostRequest",
    "DataRequest",
    "EvaluateRequest",
    "ExportRequest",
    "LatencyRequest",
    "NetworksRequest",
    "PredictRequest",
    "Preset",
    "RetrainRequest",
    "SearchRequest",
    "ShowRequest",
    "TuneRequest",
]
