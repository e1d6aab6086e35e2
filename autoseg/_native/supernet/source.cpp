// The source operation in float32 and float64, compiled once for each instruction set.
#include "source.hpp"

#include "source_gradient.hpp"

namespace AUTOSEG_ISA {

template SourceSizes source_sizes<float>(const SourceShape&);
template SourceSizes source_sizes<double>(const SourceShape&);
template void source_forward(const SourceShape&, const SourceForward<float>&);
template void source_forward(const SourceShape&, const SourceForward<double>&);
template void source_backward(const SourceShape&, const SourceBackward<float>&);
template void source_backward(const SourceShape&, const SourceBackward<double>&);

}  // namespace AUTOSEG_ISA
