/* Calls every function of karyon_c.h from C11. usage: capi_test FOLDER */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <karyon/models/capi/karyon_c.h>

static int failures = 0;

static void expect(int holds, const char* what, int line) {
  if (holds) return;
  fprintf(stderr, "line %d: %s: %s\n", line, what, karyon_last_error());
  ++failures;
}
#define EXPECT(condition) expect((condition) != 0, #condition, __LINE__)
#define OK(call) expect((call) == KARYON_OK, #call, __LINE__)
#define REFUSED(call, message) \
  expect((call) == KARYON_ERROR && strstr(karyon_last_error(), (message)) != NULL, #call, __LINE__)

/* The elements of x, which is f32, are those. */
static int holds(const karyon_tensor* x, const float* values, size_t count) {
  float read[16];
  if (karyon_tensor_copy_to(x, read, count * sizeof(float)) != KARYON_OK) return 0;
  for (size_t i = 0; i < count; ++i)
    if (fabsf(read[i] - values[i]) > 1e-5f) return 0;
  return 1;
}

static void test_tensors(void) {
  const int64_t shape[] = {2, 3}, turned_shape[] = {3, 2};
  const float values[] = {0, 1, 2, 3, 4, 5};
  karyon_tensor *x = NULL, *y = NULL, *z = NULL;
  OK(karyon_tensor_from_data(values, shape, 2, KARYON_F32, &x));
  int dims = 0;
  int64_t sizes[2] = {0, 0}, numel = 0;
  karyon_dtype dtype = KARYON_BOOL;
  karyon_device device = KARYON_CUDA;
  OK(karyon_tensor_dims(x, &dims));
  OK(karyon_tensor_shape(x, sizes));
  OK(karyon_tensor_numel(x, &numel));
  OK(karyon_tensor_dtype(x, &dtype));
  OK(karyon_tensor_device(x, &device));
  EXPECT(dims == 2 && sizes[0] == 2 && sizes[1] == 3 && numel == 6 && dtype == KARYON_F32 &&
         device == KARYON_CPU);
  EXPECT(holds(x, values, 6));

  void* data = NULL;
  OK(karyon_tensor_clone(x, &y));
  OK(karyon_tensor_data(y, &data));
  ((float*)data)[5] = 50;
  EXPECT(holds(y, (const float[]){0, 1, 2, 3, 4, 50}, 6));
  EXPECT(holds(x, values, 6));
  karyon_tensor_free(y);

  const int order[] = {1, 0};
  OK(karyon_tensor_permute(x, order, 2, &y));
  EXPECT(holds(y, (const float[]){0, 3, 1, 4, 2, 5}, 6));
  OK(karyon_tensor_matmul(x, y, &z));
  EXPECT(holds(z, (const float[]){5, 14, 14, 50}, 4));
  karyon_tensor_free(y), karyon_tensor_free(z);
  OK(karyon_tensor_reshape(x, turned_shape, 2, &y));
  EXPECT(holds(y, values, 6));
  karyon_tensor_free(y);
  OK(karyon_tensor_to_device(x, KARYON_CPU, &y));
  EXPECT(holds(y, values, 6));
  karyon_tensor_free(y);
  OK(karyon_tensor_to_dtype(x, KARYON_I64, &y));
  int64_t whole[6];
  OK(karyon_tensor_copy_to(y, whole, sizeof whole));
  EXPECT(whole[5] == 5);
  karyon_tensor_free(y);
  OK(karyon_tensor_to_dtype(x, KARYON_F16, &y));
  uint16_t half[6];
  OK(karyon_tensor_copy_to(y, half, sizeof half));
  EXPECT(half[1] == 0x3c00 && half[5] == 0x4500);
  OK(karyon_tensor_dtype(y, &dtype));
  EXPECT(dtype == KARYON_F16);
  karyon_tensor_free(y);
  OK(karyon_tensor_to_dtype(x, KARYON_I32, &y));
  int32_t narrow[6];
  OK(karyon_tensor_copy_to(y, narrow, sizeof narrow));
  EXPECT(narrow[5] == 5);
  karyon_tensor_free(y), karyon_tensor_free(x);
}

static void test_arithmetic(void) {
  const int64_t shape[] = {4};
  float own[] = {1, 2, 3, 4};
  karyon_tensor *a = NULL, *b = NULL, *y = NULL;
  OK(karyon_tensor_from_blob(own, shape, 1, KARYON_F32, &a));
  OK(karyon_tensor_full(shape, 1, KARYON_F32, 2, &b));
  OK(karyon_tensor_add(a, b, &y));
  EXPECT(holds(y, (const float[]){3, 4, 5, 6}, 4));
  karyon_tensor_free(y);
  OK(karyon_tensor_sub(a, b, &y));
  EXPECT(holds(y, (const float[]){-1, 0, 1, 2}, 4));
  karyon_tensor_free(y);
  OK(karyon_tensor_mul(a, b, &y));
  EXPECT(holds(y, (const float[]){2, 4, 6, 8}, 4));
  karyon_tensor_free(y);
  own[0] = 8; /* the tensor is on this memory */
  OK(karyon_tensor_div(a, b, &y));
  EXPECT(holds(y, (const float[]){4, 1, 1.5f, 2}, 4));
  karyon_tensor_free(y);
  OK(karyon_tensor_softmax(b, 0, &y));
  EXPECT(holds(y, (const float[]){0.25f, 0.25f, 0.25f, 0.25f}, 4));
  karyon_tensor_free(y);
  OK(karyon_tensor_argmax(a, 0, &y));
  int64_t largest = -1;
  OK(karyon_tensor_copy_to(y, &largest, sizeof largest));
  EXPECT(largest == 0);
  karyon_tensor_free(y), karyon_tensor_free(b);
  OK(karyon_tensor_full(NULL, 0, KARYON_F32, 0, &b));
  OK(karyon_tensor_sigmoid(b, &y));
  EXPECT(holds(y, (const float[]){0.5f}, 1));
  karyon_tensor_free(y), karyon_tensor_free(b), karyon_tensor_free(a);
}

static void test_random(void) {
  const int64_t shape[] = {100};
  karyon_tensor *x = NULL, *y = NULL;
  double a[100], b[100];
  OK(karyon_manual_seed(3));
  OK(karyon_tensor_rand(shape, 1, KARYON_F64, &x));
  OK(karyon_manual_seed(3));
  OK(karyon_tensor_rand(shape, 1, KARYON_F64, &y));
  OK(karyon_tensor_copy_to(x, a, sizeof a));
  OK(karyon_tensor_copy_to(y, b, sizeof b));
  EXPECT(memcmp(a, b, sizeof a) == 0 && a[0] >= 0 && a[0] < 1);
  karyon_tensor_free(x), karyon_tensor_free(y);
  OK(karyon_tensor_randn(shape, 1, KARYON_F32, &x));
  OK(karyon_tensor_empty(shape, 1, KARYON_U8, &y));
  karyon_tensor_free(x), karyon_tensor_free(y);
}

static void test_exchange(const char* folder) {
  char path[4096];
  snprintf(path, sizeof path, "%s/x.npy", folder);
  const int64_t shape[] = {3};
  const float values[] = {1, 2, 3};
  karyon_tensor *x = NULL, *y = NULL;
  OK(karyon_tensor_from_data(values, shape, 1, KARYON_F32, &x));
  OK(karyon_tensor_save_npy(x, path));
  OK(karyon_tensor_load_npy(path, &y));
  EXPECT(holds(y, values, 3));
  karyon_tensor_free(y);
  void* managed = NULL;
  OK(karyon_tensor_to_dlpack(x, &managed));
  karyon_tensor_free(x); /* the memory lives on */
  OK(karyon_tensor_from_dlpack(managed, &y));
  EXPECT(holds(y, values, 3));
  karyon_tensor_free(y);
}

static void test_modules(const char* folder) {
  char path[4096];
  snprintf(path, sizeof path, "%s/net.safetensors", folder);
  const karyon_unet_options options = {
      .in_channels = 1, .out_channels = 2, .base_width = 8, .depth = 2, .group_norm = 1, .bilinear = 0};
  const int64_t shape[] = {1, 8, 8, 1};
  karyon_module *net = NULL, *other = NULL;
  karyon_tensor *x = NULL, *y = NULL, *z = NULL;
  int64_t parameters = 0, sizes[4] = {0, 0, 0, 0};
  OK(karyon_unet_create(&options, &net));
  OK(karyon_unet_create(&options, &other));
  OK(karyon_module_num_parameters(net, &parameters));
  EXPECT(parameters > 1000);
  OK(karyon_tensor_randn(shape, 4, KARYON_F32, &x));
  OK(karyon_module_run(net, x, &y));
  OK(karyon_tensor_shape(y, sizes));
  EXPECT(sizes[0] == 1 && sizes[1] == 8 && sizes[2] == 8 && sizes[3] == 2);
  OK(karyon_module_save_weights(net, path));
  OK(karyon_module_load_weights(other, path));
  OK(karyon_module_to_device(other, KARYON_CPU));
  OK(karyon_module_run(other, x, &z));
  float a[128], b[128];
  OK(karyon_tensor_copy_to(y, a, sizeof a));
  OK(karyon_tensor_copy_to(z, b, sizeof b));
  EXPECT(memcmp(a, b, sizeof a) == 0);
  karyon_tensor_free(z);
  REFUSED(karyon_module_run(net, NULL, &z), "karyon_module_run: expects a pointer, got null");
  REFUSED(karyon_unet_load("/no/such/file", &other), "/no/such/file");
  karyon_tensor_free(x), karyon_tensor_free(y);
  karyon_module_free(net), karyon_module_free(other), karyon_module_free(NULL);
}

static void test_errors(void) {
  const int64_t shape[] = {2}, negative[] = {-1}, huge[] = {INT64_MAX, 2};
  karyon_tensor *x = NULL, *y = NULL;
  REFUSED(karyon_tensor_empty(negative, 1, KARYON_F32, &x), "-1");
  REFUSED(karyon_tensor_empty(huge, 2, KARYON_F32, &x), "");
  REFUSED(karyon_tensor_empty(shape, -1, KARYON_F32, &x), "0 dimensions or more, got -1");
  REFUSED(karyon_tensor_empty(NULL, 1, KARYON_F32, &x), "expects a pointer, got null");
  REFUSED(karyon_tensor_empty(shape, 1, (karyon_dtype)99, &x), "expects a karyon_dtype, got 99");
  REFUSED(karyon_tensor_empty(shape, 1, KARYON_F32, NULL), "karyon_tensor_empty: expects a pointer");
  REFUSED(karyon_tensor_from_data(NULL, shape, 1, KARYON_F32, &x), "expects a pointer");
  EXPECT(x == NULL);
  OK(karyon_tensor_full(shape, 1, KARYON_F32, 1, &x));
  float one = 0;
  REFUSED(karyon_tensor_copy_to(x, &one, sizeof one), "expects 8 bytes, got 4");
  REFUSED(karyon_tensor_softmax(x, 5, &y), "softmax");
  REFUSED(karyon_tensor_to_device(x, (karyon_device)7, &y), "expects a karyon_device, got 7");
  REFUSED(karyon_tensor_numel(NULL, NULL), "expects a pointer");
  REFUSED(karyon_tensor_from_dlpack(NULL, &y), "got null");
  REFUSED(karyon_set_num_threads(0), "0");
  EXPECT(y == NULL);
  karyon_tensor_free(x), karyon_tensor_free(NULL);
}

int main(int count, char** arguments) {
  if (count != 2) return 2;
  int threads = 0;
  OK(karyon_set_num_threads(2));
  OK(karyon_num_threads(&threads));
  EXPECT(threads == 2);
  EXPECT(strlen(karyon_version()) >= 5);
  EXPECT(karyon_is_available(KARYON_CPU) == 1);
  EXPECT(karyon_is_available((karyon_device)7) == 0);
  test_tensors();
  test_arithmetic();
  test_random();
  test_exchange(arguments[1]);
  test_modules(arguments[1]);
  test_errors();
  printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
