"""A network gives the same in every form, and a form that cannot run says what it lacks."""

import copy
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from autoseg.commands.cpu_threads import pinned_threads
from autoseg.config.forms import FormConfig
from autoseg.errors import UsageError
from autoseg.export import Form, FormError, form, forming, forms_of, run_in_form, running
from autoseg.export.folding import fold_batch_norm
from autoseg.export.graph import record
from autoseg.networks import NetworkWithCRF

CPU = torch.device("cpu")

# torch's exporters use what torch itself has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


class Norms(nn.Module):
    """Batch norms where they can be folded, and where they cannot."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 8, 3, padding=1, bias=False)  # called twice
        self.norms = nn.ModuleList(nn.BatchNorm2d(8) for _ in range(4))
        self.depthwise = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8)
        self.last = nn.Conv2d(8, 5, 1)
        for norm in self.norms:
            for value in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
                nn.init.uniform_(value, 0.5, 2.0)

    def forward(self, images):
        a, b = self.norms[0](self.first(images)).relu(), self.norms[1](self.first(-images))
        shared = self.depthwise(a + b)
        seen_twice = self.norms[2](shared) + shared
        return self.last(self.norms[3](seen_twice))


@pytest.fixture(scope="module")
def network():
    return Norms().eval()


def images(count, height, width):
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(1))


def check(network, given, *, tolerance):
    """Hold a form against the network, in float64, at sizes it was not recorded with."""
    exact = copy.deepcopy(network).double()
    running = run_in_form(network, given, num_channels=3, device=CPU).network
    assert not running.training
    for size in ((1, 20, 31), (3, 16, 16)):
        with torch.inference_mode():
            expected, logits = exact(images(*size).double()), running(images(*size))
        assert logits.dtype == torch.float32
        assert (logits - expected).norm() <= tolerance * expected.norm()


def test_a_norm_is_folded_where_it_alone_takes_a_convolutions_result(network):
    module = fold_batch_norm(record(network, torch.zeros(2, 3, 9, 11), free=(0, 2, 3)))
    left = module.graph.find_nodes(op="call_function", target=torch.ops.aten.batch_norm.default)
    assert len(left) == 2  # the result is taken elsewhere as well; an addition comes before
    inputs = images(2, 7, 13)
    with torch.inference_mode():
        torch.testing.assert_close(module(inputs), network(inputs), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("given", "tolerance"),
    [
        (Form(memory_format="channels-last"), 1e-6),
        (Form(is_folded=True, memory_format="channels-last"), 1e-6),
        (Form(dtype="bfloat16", is_folded=True), 0.02),
        (Form(dtype="float16"), 0.002),
        pytest.param(Form(backend="compile"), 1e-6, marks=pytest.mark.nightly),
        pytest.param(Form(backend="compile", is_folded=True), 1e-6, marks=pytest.mark.nightly),
    ],
    ids=lambda value: str(value).replace(", ", "-"),
)
def test_a_form_of_torch_gives_the_same(network, given, tolerance):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    check(network, given, tolerance=tolerance)
    for name, value in network.state_dict().items():
        assert value.dtype == before[name].dtype and value.equal(before[name])


def threads_of(loaded):
    """Ask a back end itself how many threads it uses."""
    if isinstance(loaded, running._OnnxRuntime):
        return loaded._session.get_session_options().intra_op_num_threads
    (request,) = loaded._requests
    return request.get_compiled_model().get_property("INFERENCE_NUM_THREADS")


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_an_exported_form_gives_the_same_or_says_why_it_fails(network, backend, monkeypatch):
    for package in ("onnxscript", backend):
        pytest.importorskip(package)
    given = forms_of(FormConfig(backend=(backend,)))[0]
    check(network, given, tolerance=1e-6)
    # ONNX Runtime's own errors are neither RuntimeError nor ValueError; OpenVINO takes any array.
    other = 1 if torch.get_num_threads() > 1 else 2  # OpenVINO takes no more than there are cores
    with pinned_threads(other, CPU):
        loaded = run_in_form(network, given, num_channels=3, device=CPU).network
    assert threads_of(loaded.network) == other
    with pytest.raises(FormError, match=rf"^cannot run as {backend}: \w+: .*"):
        loaded(images(1, 20, 31)[:, :2])  # a channel is missing
    no_graph = SimpleNamespace(SerializeToString=lambda: b"no graph")
    monkeypatch.setattr(running, "_exported", lambda *_, **__: no_graph)
    with pytest.raises(FormError, match=rf"^cannot run as {backend}: \w+: "), forming(given):
        run_in_form(network, given, num_channels=3, device=CPU)


def test_openvino_computes_in_bfloat16_where_the_processor_does(network):
    for package in ("onnxscript", "openvino"):
        pytest.importorskip(package)
    given = forms_of(FormConfig(backend=("openvino",), dtype=("bfloat16",)))[0]
    if "BF16" not in form._openvino_capabilities():
        pytest.skip("no bfloat16 here")
    check(network, given, tolerance=0.02)
    inputs = images(1, 20, 31)
    loaded = run_in_form(network, given, num_channels=3, device=CPU).network
    with torch.inference_mode():
        error = (loaded(inputs) - network(inputs)).norm() / network(inputs).norm()
    assert error > 1e-4  # float32 in its place would agree


@pytest.mark.gpu
def test_a_recorded_graph_gives_the_same(network):
    on_gpu = copy.deepcopy(network).cuda()
    device = torch.device("cuda")
    running = run_in_form(on_gpu, Form(backend="cuda-graph"), num_channels=3, device=device)
    for size in ((1, 20, 31), (3, 16, 16), (1, 20, 31)):
        inputs = images(*size).cuda()
        with torch.inference_mode():
            torch.testing.assert_close(running.network(inputs), on_gpu(inputs))


def test_a_graph_is_recorded_once_for_each_size_on_a_stream_of_the_images_device(monkeypatch):
    log = []

    class Stream(str):
        def wait_stream(self, other):
            log.append(f"{self} waits for {other}")

    @contextmanager
    def on(what):
        log.append(f"on {what}")
        yield
        log.append("done")

    class Doubling(nn.Module):
        def forward(self, images):
            log.append("run")
            self.seen = images
            self.logits = 2 * images
            return self.logits

    class Graph:
        def replay(self):
            log.append("replay")
            images, logits = recorded[id(self)]
            logits.copy_(2 * images)

    @contextmanager
    def capture(graph, *, stream):
        with on(f"{stream}, recorded"):
            yield
        recorded[id(graph)] = (network.seen, network.logits)

    network, recorded = Doubling(), {}
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream(f"side of {device}"))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream(f"main of {device}"))
    monkeypatch.setattr(torch.cuda, "stream", on)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", capture)
    graphed = running._CudaGraph(network)
    begun = [
        "side of cpu waits for main of cpu",
        *("on side of cpu", "run", "run", "run", "done"),
        "main of cpu waits for side of cpu",
        *("on side of cpu, recorded", "run", "done"),
        "replay",
    ]
    kept = []
    for size, expected in (((1, 4, 5), begun), ((1, 4, 5), ["replay"]), ((2, 4, 4), begun)):
        log.clear()
        given = images(*size) + len(kept)
        before = given.clone()
        kept.append((graphed(given), 2 * before))
        assert log == expected
        assert given.equal(before)
    log.clear()
    running.forget_recordings(nn.Sequential(graphed))
    graphed(images(1, 4, 5))
    assert log == begun
    for logits, doubled in kept:  # no later replay writes there
        assert logits.equal(doubled)


def test_the_plain_form_is_the_network_itself(network):
    assert run_in_form(network, Form(), num_channels=3, device=CPU) == (network, 0.0)


def test_forms_say_what_they_are():
    choice = FormConfig(
        backend=("eager", "onnxruntime", "eager"), memory_format="channels-last",
        fold_batch_norm=True,
    )  # fmt: skip
    eager, onnxruntime = forms_of(choice)
    assert str(eager) == "eager, channels-last, folded"
    assert (str(onnxruntime), onnxruntime.memory_format) == ("onnxruntime", "own")
    for name in ("backend", "dtype"):
        with pytest.raises(UsageError, match=rf"^--{name} is empty; name at least one"):
            forms_of(FormConfig(**{name: ()}))


def test_each_back_end_takes_the_numbers_that_it_has():
    choice = FormConfig(
        backend=("eager", "openvino"), dtype=("float32", "int8", "float32"), calibration_images=5
    )
    assert [str(each) for each in forms_of(choice)] == ["eager", "openvino", "openvino, int8"]
    assert [each.calibration_images for each in forms_of(choice)] == [0, 0, 5]
    with pytest.raises(UsageError, match=r"^--backend openvino has no --dtype float16 here: it"):
        forms_of(FormConfig(backend=("eager", "openvino"), dtype=("float16",)))
    rule = r"^--dtype float16: --backend openvino does not compute in it; add --backend eager\|comp"
    with pytest.raises(UsageError, match=rule):
        forms_of(FormConfig(backend=("openvino",), dtype=("float32", "float16")))


def test_what_cannot_run_is_refused_with_the_remedy(monkeypatch):
    monkeypatch.setattr(form, "find_spec", lambda name: None if name == "openvino" else True)
    monkeypatch.setattr(form.shutil, "which", lambda name: None)
    monkeypatch.setattr(form, "_openvino_capabilities", lambda: ["FP32", "INT8"])
    cuda = torch.device("cuda:0")
    for given, device, message in (
        (Form(backend="openvino"), CPU, r"needs openvino: pip install 'autoseg-nas\[openvino\]'"),
        (Form(backend="onnxruntime"), cuda, r"on the CPU here, not on cuda:0; .* --device cpu"),
        (Form(backend="onnxruntime", dtype="float16"), CPU, r"has no --dtype float16 here"),
        (Form(backend="onnxruntime", dtype="bfloat16"), CPU, r"computes in float32 or int8; leave"),
        (Form(dtype="int8"), CPU, r"has no --dtype int8 here: it computes .* or bfloat16; leave"),
        (Form(backend="cuda-graph"), CPU, r"needs a GPU, and the device is cpu; leave it out"),
        (Form(backend="compile"), CPU, r"needs a C\+\+ compiler, and neither .*apt install g\+\+"),
    ):
        with pytest.raises(UsageError, match=rf"^--backend {given.backend} .*{message}"):
            given.require(device)
    Form(backend="onnxruntime").require(CPU)
    # What OpenVINO says of the processor decides; without such numbers it would take float32.
    monkeypatch.setattr(form, "find_spec", lambda name: True)
    half = Form(backend="openvino", dtype="bfloat16")
    with pytest.raises(UsageError, match=r"openvino --dtype bfloat16 needs a processor that multi"):
        half.require(CPU)
    with pytest.raises(UsageError, match=r"no --dtype float16 here: it computes in float32 or bf"):
        Form(backend="openvino", dtype="float16").require(CPU)
    monkeypatch.setattr(form, "_openvino_capabilities", lambda: ["BF16", "FP32"])
    half.require(CPU)


def test_a_crf_layer_has_no_other_form():
    layered = NetworkWithCRF.__new__(NetworkWithCRF)
    with pytest.raises(FormError, match=r"runs by plain torch alone, not as eager, folded"):
        run_in_form(layered, Form(is_folded=True), num_channels=3, device=CPU)


class Branching(nn.Module):
    """What no exporter can record: the way depends on the values."""

    def forward(self, images):
        return images if images.sum() > 0 else -images


def test_what_a_converter_refuses_is_an_error_with_its_reason():
    folded = Form(is_folded=True)
    reason = r"^cannot run as eager, folded: \w+: .*[Dd]ata-dependent"
    with pytest.raises(FormError, match=reason), forming(folded):
        run_in_form(Branching().eval(), folded, num_channels=3, device=CPU)
    for error in (ValueError("x"), torch.OutOfMemoryError("x"), KeyError("x")):
        with (
            pytest.raises(FormError, match=rf"folded: {type(error).__name__}: '?x"),
            forming(folded),
        ):
            raise error
        with pytest.raises(type(error), match=r"x") as raised, forming(Form()):
            raise error  # the network itself fails
        assert raised.value is error
