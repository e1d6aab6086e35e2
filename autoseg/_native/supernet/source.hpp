// The source operation of one instruction set: see source.cpp.
#pragma once

#include "../kernels.hpp"

namespace AUTOSEG_ISA {

template <class T>
autoseg::SourceSizes source_sizes(const autoseg::SourceShape& shape);
template <class T>
void source_forward(const autoseg::SourceShape& shape, const autoseg::SourceForward<T>& call);
template <class T>
void source_backward(const autoseg::SourceShape& shape, const autoseg::SourceBackward<T>& call);

}  // namespace AUTOSEG_ISA
