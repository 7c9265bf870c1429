/* Karyon for other languages. C11; compile with the include folder of Karyon, link with libkaryon.
 *
 * Every function that can fail returns a karyon_status and writes its result through the last argument. The result
 * is untouched if it fails, and karyon_last_error() tells why. No exception leaves a function. A null pointer where a
 * value is needed is an error. Tensors and modules belong to whoever got them: free each one once. A tensor may share
 * memory with others; the memory lives as long as one of them. Images are [N, H, W, C].
 *
 * Calls on different tensors and modules may run at the same time. */
#ifndef KARYON_C_H
#define KARYON_C_H
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct karyon_tensor karyon_tensor;
typedef struct karyon_module karyon_module;

typedef enum karyon_status {
  KARYON_OK = 0,
  KARYON_ERROR = 1,         /* an argument, a file or a device is not as expected */
  KARYON_OUT_OF_MEMORY = 2, /* no memory */
  KARYON_INTERNAL = 3       /* anything else */
} karyon_status;

typedef enum karyon_dtype {
  KARYON_F32 = 0,
  KARYON_F64 = 1,
  KARYON_BF16 = 2, /* the upper half of a float */
  KARYON_I64 = 3,
  KARYON_U8 = 4,
  KARYON_BOOL = 5, /* a byte: 0 or 1 */
  KARYON_F16 = 6,  /* for storage: cast it to compute with it */
  KARYON_I32 = 7,
  KARYON_DTYPE_RESERVED =
      0x7fffffff /* makes every number a value of the type: functions refuse unknown ones */
} karyon_dtype;

typedef enum karyon_device {
  KARYON_CPU = 0,
  KARYON_CUDA = 1,
  KARYON_DEVICE_RESERVED = 0x7fffffff
} karyon_device;

/* The version of the library that runs: "0.1.0". */
const char* karyon_version(void);
/* Why the last call on this thread that failed did so. Valid until the next failure on this thread. */
const char* karyon_last_error(void);
/* 1 if there is such a device to run on, else 0. */
int karyon_is_available(karyon_device device);
karyon_status karyon_set_num_threads(int threads);
karyon_status karyon_num_threads(int* threads);
/* Starts the random numbers again. */
karyon_status karyon_manual_seed(uint64_t seed);

/* Tensors on the CPU. `shape` has `dims` sizes; it may be null for 0. */
karyon_status karyon_tensor_empty(const int64_t* shape, int dims, karyon_dtype dtype, karyon_tensor** out);
karyon_status karyon_tensor_full(const int64_t* shape, int dims, karyon_dtype dtype, double value,
                                 karyon_tensor** out);
/* Copies row-major elements. */
karyon_status karyon_tensor_from_data(const void* data, const int64_t* shape, int dims, karyon_dtype dtype,
                                      karyon_tensor** out);
/* Uses row-major elements where they are. They must outlive the tensor and all that share its memory. */
karyon_status karyon_tensor_from_blob(void* data, const int64_t* shape, int dims, karyon_dtype dtype,
                                      karyon_tensor** out);
/* Uniform in [0, 1), and standard normal. f32 or f64. */
karyon_status karyon_tensor_rand(const int64_t* shape, int dims, karyon_dtype dtype, karyon_tensor** out);
karyon_status karyon_tensor_randn(const int64_t* shape, int dims, karyon_dtype dtype, karyon_tensor** out);
/* Frees; null is allowed. */
void karyon_tensor_free(karyon_tensor* x);

karyon_status karyon_tensor_dims(const karyon_tensor* x, int* dims);
/* Writes karyon_tensor_dims() sizes. */
karyon_status karyon_tensor_shape(const karyon_tensor* x, int64_t* shape);
karyon_status karyon_tensor_numel(const karyon_tensor* x, int64_t* numel);
karyon_status karyon_tensor_dtype(const karyon_tensor* x, karyon_dtype* dtype);
karyon_status karyon_tensor_device(const karyon_tensor* x, karyon_device* device);
/* The elements, row-major, in the memory of the tensor's device. Good until the next call with the tensor. */
karyon_status karyon_tensor_data(karyon_tensor* x, void** data);
/* Copies the elements to the CPU. Fails unless `bytes` is their size. */
karyon_status karyon_tensor_copy_to(const karyon_tensor* x, void* data, size_t bytes);

/* New tensors. to_dtype, to_device and reshape may share memory with x. */
karyon_status karyon_tensor_clone(const karyon_tensor* x, karyon_tensor** out);
karyon_status karyon_tensor_to_dtype(const karyon_tensor* x, karyon_dtype dtype, karyon_tensor** out);
karyon_status karyon_tensor_to_device(const karyon_tensor* x, karyon_device device, karyon_tensor** out);
karyon_status karyon_tensor_reshape(const karyon_tensor* x, const int64_t* shape, int dims,
                                    karyon_tensor** out);
karyon_status karyon_tensor_permute(const karyon_tensor* x, const int* order, int dims, karyon_tensor** out);
karyon_status karyon_tensor_add(const karyon_tensor* a, const karyon_tensor* b, karyon_tensor** out);
karyon_status karyon_tensor_sub(const karyon_tensor* a, const karyon_tensor* b, karyon_tensor** out);
karyon_status karyon_tensor_mul(const karyon_tensor* a, const karyon_tensor* b, karyon_tensor** out);
karyon_status karyon_tensor_div(const karyon_tensor* a, const karyon_tensor* b, karyon_tensor** out);
karyon_status karyon_tensor_matmul(const karyon_tensor* a, const karyon_tensor* b, karyon_tensor** out);
karyon_status karyon_tensor_sigmoid(const karyon_tensor* x, karyon_tensor** out);
karyon_status karyon_tensor_softmax(const karyon_tensor* x, int dim, karyon_tensor** out);
karyon_status karyon_tensor_argmax(const karyon_tensor* x, int dim, karyon_tensor** out);

/* NumPy's .npy files. */
karyon_status karyon_tensor_load_npy(const char* path, karyon_tensor** out);
karyon_status karyon_tensor_save_npy(const karyon_tensor* x, const char* path);

/* DLPack: `managed` is a DLManagedTensor. karyon_tensor_from_dlpack takes it over if it succeeds. */
karyon_status karyon_tensor_to_dlpack(const karyon_tensor* x, void** managed);
karyon_status karyon_tensor_from_dlpack(void* managed, karyon_tensor** out);

/* A U-Net with random weights; karyon_unet_load: one that Karyon's save_unet wrote. Both are in evaluation mode. */
typedef struct karyon_unet_options {
  int64_t in_channels, out_channels, base_width, depth;
  int group_norm; /* 0: batch norm */
  int bilinear;   /* 0: transposed convolutions */
} karyon_unet_options;
karyon_status karyon_unet_create(const karyon_unet_options* options, karyon_module** out);
karyon_status karyon_unet_load(const char* path, karyon_module** out);
/* Frees; null is allowed. */
void karyon_module_free(karyon_module* module);
/* Weights by PyTorch's names: safetensors, .pt, .pth or .npz to read, safetensors to write. */
karyon_status karyon_module_load_weights(karyon_module* module, const char* path);
karyon_status karyon_module_save_weights(const karyon_module* module, const char* path);
karyon_status karyon_module_to_device(karyon_module* module, karyon_device device);
karyon_status karyon_module_num_parameters(const karyon_module* module, int64_t* count);
/* The output for one input, without a gradient. */
karyon_status karyon_module_run(karyon_module* module, const karyon_tensor* input, karyon_tensor** out);

#ifdef __cplusplus
}
#endif
#endif
