/* A stand-in for CUDA's runtime and driver: one device, which does nothing. PyTorch asks these few
   functions when autograd walks through tensors that say they are on a GPU. See sitecustomize.py. */
static char handles[4096];
static int used;
static int handle(void **h) { *h = &handles[used++ % sizeof handles]; return 0; }

int cudaGetDeviceCount(int *n) { *n = 1; return 0; }
int cudaDriverGetVersion(int *v) { *v = 13000; return 0; }
int cudaGetDevice(int *d) { *d = 0; return 0; }
int cudaSetDevice(int d) { return 0; }
int cudaDeviceGetStreamPriorityRange(int *low, int *high) { *low = 0; *high = -1; return 0; }
int cudaStreamCreateWithPriority(void **s, unsigned f, int p) { return handle(s); }
int cudaEventCreateWithFlags(void **e, unsigned f) { return handle(e); }
int cudaEventElapsedTime(float *ms) { *ms = 1; return 0; }
int cudaStreamIsCapturing(void *s, int *c) { *c = 0; return 0; }
int cudaStreamGetCaptureInfo(void *s, int *c) { *c = 0; return 0; }
int cuDevicePrimaryCtxGetState(int d, unsigned *f, int *active) { *f = 0; *active = 0; return 0; }

#define NOTHING(name) int name(void) { return 0; }
NOTHING(cudaGetLastError) NOTHING(cudaDeviceSynchronize) NOTHING(cudaStreamSynchronize)
NOTHING(cudaStreamQuery) NOTHING(cudaStreamWaitEvent) NOTHING(cudaEventRecord)
NOTHING(cudaEventQuery) NOTHING(cudaEventSynchronize) NOTHING(cudaEventDestroy)
NOTHING(cudaThreadExchangeStreamCaptureMode) NOTHING(cuInit)
