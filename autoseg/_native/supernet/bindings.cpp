// Python's side of the source operation. Tensors come as addresses: their dtype, size, device and
// contiguity are checked in `autoseg.supernet.native`, which is the only caller.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "../dispatch.hpp"

namespace nb = nanobind;

namespace {

using autoseg::Kernels;
using autoseg::SourceShape;

template <class T>
T* pointer(std::uintptr_t address) {
    return reinterpret_cast<T*>(address);
}

class Source {
public:
    // columns: alpha's column of each operation, in the order of autoseg::Operation; -1: absent.
    Source(std::ptrdiff_t num_images, std::ptrdiff_t num_inputs, std::ptrdiff_t num_targets,
           std::ptrdiff_t channels, std::ptrdiff_t height, std::ptrdiff_t width,
           std::ptrdiff_t num_columns, const std::vector<int>& columns, bool is_double,
           const std::string& isa)
        : kernels_(isa.empty() ? autoseg::chosen_kernels() : autoseg::kernels_of(isa)),
          is_double_(is_double) {
        if (std::min({num_images, num_inputs, num_targets, channels, height, width}) < 1) {
            throw std::invalid_argument("Source: every size has to be at least 1.");
        }
        if (columns.size() != autoseg::kNumOperations) {
            throw std::invalid_argument("Source: columns: one of each operation.");
        }
        shape_ = {num_images, num_inputs, num_targets, channels, height, width, num_columns, {}};
        std::copy(columns.begin(), columns.end(), shape_.columns);
    }

    std::tuple<std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t> sizes() const {
        const auto sizes = is_double_ ? kernels_.source_sizes_f64(shape_)
                                      : kernels_.source_sizes_f32(shape_);
        return {sizes.state, sizes.statistics, sizes.kept};
    }

    void forward(std::uintptr_t weight, std::uintptr_t running_mean, std::uintptr_t running_var,
                 std::uintptr_t state, std::uintptr_t alpha, std::uintptr_t out,
                 std::uintptr_t statistics, std::uintptr_t kept, double momentum, double eps,
                 bool training, int num_threads) const {
        const auto run = [&]<class T>(auto kernel, T) {
            kernel(shape_, autoseg::SourceForward<T>{
                               pointer<T>(weight), pointer<T>(running_mean),
                               pointer<T>(running_var), pointer<T>(state), pointer<T>(alpha),
                               pointer<T>(out), pointer<T>(statistics), pointer<T>(kept), momentum,
                               eps, training, num_threads});
        };
        is_double_ ? run(kernels_.source_forward_f64, double())
                   : run(kernels_.source_forward_f32, float());
    }

    void backward(std::uintptr_t weight, std::uintptr_t state, std::uintptr_t alpha,
                  std::uintptr_t statistics, std::uintptr_t kept, std::uintptr_t grad_out,
                  std::uintptr_t grad_state, std::uintptr_t grad_weight, std::uintptr_t grad_alpha,
                  bool training, int num_threads) const {
        const auto run = [&]<class T>(auto kernel, T) {
            kernel(shape_, autoseg::SourceBackward<T>{
                               pointer<T>(weight), pointer<T>(state), pointer<T>(alpha),
                               pointer<T>(statistics), pointer<T>(kept), pointer<T>(grad_out),
                               pointer<T>(grad_state), pointer<T>(grad_weight),
                               pointer<T>(grad_alpha), training, num_threads});
        };
        is_double_ ? run(kernels_.source_backward_f64, double())
                   : run(kernels_.source_backward_f32, float());
    }

private:
    const Kernels& kernels_;
    SourceShape shape_{};
    bool is_double_;
};

}  // namespace

void bind_source_op(nb::module_& module) {
    nb::list operations;
    for (const auto& kernel : autoseg::kOperations) {
        operations.append(nb::make_tuple(kernel.name, kernel.size, kernel.rate));
    }
    module.attr("operations") = operations;  // (name, kernel size, rate), in the order of columns
    nb::class_<Source>(module, "Source", "A source operation of fixed sizes.")
        .def(nb::init<std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t,
                      std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t, const std::vector<int>&,
                      bool, const std::string&>(),
             nb::arg("num_images"), nb::arg("num_inputs"), nb::arg("num_targets"),
             nb::arg("channels"), nb::arg("height"), nb::arg("width"), nb::arg("num_columns"),
             nb::arg("columns"), nb::arg("is_double"), nb::arg("isa") = "")
        .def("sizes", &Source::sizes,
             "Count the elements of an input cell's state, the statistics and the kept maps.")
        .def("forward", &Source::forward, nb::call_guard<nb::gil_scoped_release>())
        .def("backward", &Source::backward, nb::call_guard<nb::gil_scoped_release>());
}
