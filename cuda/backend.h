#pragma once
#include <karyon/cuda/kernel_table.h>

namespace karyon::cuda {

/// Throws Error if this library has no code for the device, or the driver does not take it.
void check_code();

// Each family of core/ops has a file here that adds its kernels to the table.
void register_activation_kernels(KernelTable& table);
void register_attention_kernels(KernelTable& table);
void register_conv_kernels(KernelTable& table);
void register_copy_kernels(KernelTable& table);
void register_dropout_kernels(KernelTable& table);
void register_elementwise_kernels(KernelTable& table);
void register_function_kernels(KernelTable& table);
void register_grid_sample_kernels(KernelTable& table);
void register_index_kernels(KernelTable& table);
void register_layer_norm_kernels(KernelTable& table);
void register_layout_kernels(KernelTable& table);
void register_loss_kernels(KernelTable& table);
void register_loss_class_kernels(KernelTable& table);
void register_loss_pair_kernels(KernelTable& table);
void register_loss_region_kernels(KernelTable& table);
void register_matmul_kernels(KernelTable& table);
void register_mix_kernels(KernelTable& table);
void register_norm_kernels(KernelTable& table);
void register_optim_kernels(KernelTable& table);
void register_pick_kernels(KernelTable& table);
void register_pool_kernels(KernelTable& table);
void register_reduce_kernels(KernelTable& table);
void register_resize_kernels(KernelTable& table);
void register_rnn_kernels(KernelTable& table);
void register_scan_kernels(KernelTable& table);
void register_sort_kernels(KernelTable& table);
void register_statistics_kernels(KernelTable& table);

}  // namespace karyon::cuda
