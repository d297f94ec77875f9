/* What libnvidia-ml.so exports of what is read, for devices that are not there.

   What was taken from public records of real devices is said beside each, with the repository of
   GitHub and the number of the thread there; all else is made up. -DOLD_DRIVER leaves out what a
   driver of 2020 lacks. */

#include <stdlib.h>
#include <string.h>

enum {
    OK = 0,
    INVALID_ARGUMENT = 2,
    NOT_SUPPORTED = 3,
    NOT_FOUND = 6,
    SIZE = 7,
    LOST = 15,
    OTHER_VERSION = 25,
    NOT_READY = 27
};

typedef unsigned long long u64;
typedef struct { u64 total, free, used; } Memory;
typedef struct { unsigned gpu, memory; } Utilization;
typedef struct { unsigned pid; u64 used; unsigned gpu_instance, compute_instance; } Process;
typedef struct { unsigned version, sensor; int temperature; } Temperature;

typedef struct Device {
    const char *record, *name, *uuid;
    int utilization_error, temperature_error, power_error, clocks_error, reasons_error, ecc_error,
        energy_error, mig_error;
    Utilization utilization;
    u64 total_mib, used_mib;
    unsigned temperature, power_mw, clocks[3];
    u64 reasons, ecc, energy_mj;
    const char *parent; /* of a MIG instance: the record of the device that it is of */
    int process_count;
    Process processes[2];
} Device;

#define NO NOT_SUPPORTED
#define MIB (1ull << 20)

static Device devices[] = {
    /* name, identifier, driver, MIG mode N/A: NVIDIA/k8s-device-plugin 390 */
    {"t4", "Tesla T4", "GPU-84b0bf9a-67bf-493c-9214-4fad8b125a6d", .mig_error = NO,
     .utilization = {37, 21}, .total_mib = 15360, .used_mib = 2048, .temperature = 41,
     .power_mw = 27123, .clocks = {585, 585, 5000}, .reasons = 1, .energy_mj = 5000000000ull},
    /* identifier, no ECC: NVIDIA/nvidia-docker 1671, device 0x1E0710DE */
    {"geforce", "NVIDIA GeForce RTX 2080 Ti", "GPU-13fd0930-06c3-5975-8720-72c72ee7a823",
     .mig_error = NO, .ecc_error = NO, .utilization = {0, 0}, .total_mib = 11264, .used_mib = 3,
     .temperature = 30, .power_mw = 20000, .clocks = {1350, 1350, 7000}, .reasons = 1},
    /* answers all but the energy counter, which came with Volta: ai-dynamo/aiperf 1350 */
    {"p100", "Tesla P100-PCIE-16GB", "GPU-00000000-0000-0000-0000-000000000100", .mig_error = NO,
     .energy_error = NO, .utilization = {90, 40}, .total_mib = 16384, .used_mib = 900,
     .temperature = 60, .power_mw = 180000, .clocks = {1328, 1328, 715}},
    /* name, energy "System is not in ready state": gpuopenanalytics/pynvml 54; identifier of an
       H100: NVIDIA/DCGM 152 */
    {"h100", "NVIDIA H100 PCIe", "GPU-072b19bd-4ccf-63cf-6435-cf462aff833d",
     .energy_error = NOT_READY, .utilization = {100, 62}, .total_mib = 81559, .used_mib = 70000,
     .temperature = 66, .power_mw = 349900, .clocks = {1755, 1755, 1593}, .reasons = 4},
    /* name, every query but it not supported: HazyResearch/intelligence-per-watt 40 */
    {"orin", "Orin (nvgpu)", "GPU-00000000-0000-0000-0000-000000000000", NO, NO, NO, NO, NO, NO,
     NO, NO},
    /* name, identifiers: DataDog/datadog-agent 33120; a divided device has no utilisation:
       XuehaiPan/nvitop 5; temperature and power that it has: utkuozdemir/nvidia_gpu_exporter 203;
       memory and processes of two instances of 20 GB: XuehaiPan/nvitop 8 */
    {"mig", "NVIDIA A100-SXM4-80GB", "GPU-7fdaf0a5-179b-f636-d15d-daf243e3ff16",
     .utilization_error = NO, .total_mib = 81920, .used_mib = 24205, .temperature = 33,
     .power_mw = 87000, .clocks = {1410, 1410, 1593}},
    {"mig-0", "NVIDIA A100-SXM4-80GB MIG 2g.20gb", "MIG-feb88891-0321-5fef-9c87-d4af3b54259e", NO,
     INVALID_ARGUMENT, NO, NO, NO, NO, NO, NO, .total_mib = 19968, .used_mib = 14366,
     .parent = "mig", .process_count = 2,
     .processes = {{34965, 14195 * MIB, 3, 0}, {56597, 149 * MIB, 3, 0}}},
    {"mig-1", "NVIDIA A100-SXM4-80GB MIG 2g.20gb", "MIG-a25704ba-3a06-5299-a795-fd7cf4d13973", NO,
     INVALID_ARGUMENT, NO, NO, NO, NO, NO, NO, .total_mib = 19968, .used_mib = 9826,
     .parent = "mig", .process_count = 1, .processes = {{46505, 9807 * MIB, 5, 0}}},
    /* name, identifier, of driver 440.64.00: NVIDIA/k8s-device-plugin 265 */
    {"k40", "Tesla K40c", "GPU-afa1c01a-3776-2166-5689-cc8ef444f42b", .energy_error = NO,
     .utilization = {5, 1}, .total_mib = 11441, .used_mib = 100, .temperature = 50,
     .power_mw = 64000, .clocks = {745, 745, 3004}, .process_count = 1,
     .processes = {{34965, 63 * MIB}}},
};
static const int known = sizeof devices / sizeof *devices;
static int lost_after = -1;

/* FAKE_NVML names the machine's devices, in the order of their places on the bus. */
static Device *at(unsigned index) {
    static char list[200];
    const char *names = getenv("FAKE_NVML");
    strncpy(list, names ? names : "", sizeof list - 1);
    for (char *name = strtok(list, ","); name; name = strtok(NULL, ","))
        if (index-- == 0)
            for (int i = 0; i < known; i++)
                if (!strcmp(devices[i].record, name))
                    return &devices[i];
    return NULL;
}

int nvmlInitWithFlags(unsigned flags) {
    const char *after = getenv("FAKE_NVML_LOST_AFTER");
    lost_after = after ? atoi(after) : -1;
    return OK;
}
int nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(int error) {
    return error == NOT_READY ? "System is not in ready state" : "error";
}

static int copied(const char *text, char *to, unsigned length) {
    if (strlen(text) >= length)
        return SIZE;
    strcpy(to, text);
    return OK;
}
int nvmlSystemGetDriverVersion(char *to, unsigned length) { return copied("525.89.02", to, length); }
int nvmlDeviceGetCount_v2(unsigned *count) {
    for (*count = 0; at(*count); ++*count)
        ;
    return OK;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device **device) {
    *device = at(index);
    return *device ? OK : INVALID_ARGUMENT;
}
int nvmlDeviceGetHandleByUUID(const char *uuid, Device **device) {
    for (int i = 0; i < known; i++)
        if (!strcmp(devices[i].uuid, uuid)) {
            *device = &devices[i];
            return OK;
        }
    return NOT_FOUND;
}
int nvmlDeviceGetName(Device *d, char *to, unsigned length) { return copied(d->name, to, length); }
int nvmlDeviceGetUUID(Device *d, char *to, unsigned length) { return copied(d->uuid, to, length); }
int nvmlDeviceGetUtilizationRates(Device *d, Utilization *rates) {
    if (lost_after == 0 && d == at(0))
        return LOST;
    if (d == at(0))
        lost_after--;
    *rates = d->utilization;
    return d->utilization_error;
}
int nvmlDeviceGetMemoryInfo(Device *d, Memory *memory) {
    *memory = (Memory){d->total_mib * MIB, (d->total_mib - d->used_mib) * MIB, d->used_mib * MIB};
    return d->total_mib ? OK : NOT_SUPPORTED;
}
int nvmlDeviceGetTemperature(Device *d, unsigned sensor, unsigned *celsius) {
    *celsius = d->temperature;
    return d->temperature_error;
}
int nvmlDeviceGetPowerUsage(Device *d, unsigned *milliwatts) {
    *milliwatts = d->power_mw;
    return d->power_error;
}
int nvmlDeviceGetClockInfo(Device *d, unsigned kind, unsigned *mhz) {
    if (kind > 2)
        return INVALID_ARGUMENT;
    *mhz = d->clocks[kind];
    return d->clocks_error;
}
int nvmlDeviceGetCurrentClocksThrottleReasons(Device *d, u64 *reasons) {
    *reasons = d->reasons;
    return d->reasons_error;
}
int nvmlDeviceGetTotalEccErrors(Device *d, unsigned kind, unsigned counter, u64 *count) {
    *count = kind == 1 && counter == 0 ? d->ecc : 999;
    return d->ecc_error;
}
int nvmlDeviceGetTotalEnergyConsumption(Device *d, u64 *millijoules) {
    *millijoules = d->energy_mj += 12345;
    return d->energy_error;
}
static int listed(Device *d, unsigned *count, Process *processes) {
    unsigned room = *count;
    *count = d->process_count;
    if (room < *count)
        return SIZE;
    memcpy(processes, d->processes, *count * sizeof *processes);
    return OK;
}
int nvmlDeviceGetComputeRunningProcesses_v2(Device *d, unsigned *count, Process *processes) {
    return listed(d, count, processes);
}
#ifndef OLD_DRIVER
int nvmlDeviceGetComputeRunningProcesses_v3(Device *d, unsigned *count, Process *processes) {
    return listed(d, count, processes);
}
int nvmlDeviceGetTemperatureV(Device *d, Temperature *t) {
    if (t->version != 0x100000C)
        return OTHER_VERSION;
    t->temperature = d->temperature;
    return d->temperature_error;
}
int nvmlDeviceGetCurrentClocksEventReasons(Device *d, u64 *reasons) {
    return nvmlDeviceGetCurrentClocksThrottleReasons(d, reasons);
}
int nvmlDeviceGetMigMode(Device *d, unsigned *current, unsigned *pending) {
    *current = *pending = !strcmp(d->record, "mig");
    return d->mig_error;
}
int nvmlDeviceGetMaxMigDeviceCount(Device *d, unsigned *count) {
    *count = strcmp(d->record, "mig") ? 0 : 7;
    return OK;
}
int nvmlDeviceGetMigDeviceHandleByIndex(Device *d, unsigned index, Device **instance) {
    for (int i = 0; i < known; i++)
        if (devices[i].parent && !strcmp(devices[i].parent, d->record) && index-- == 0) {
            *instance = &devices[i];
            return OK;
        }
    return NOT_FOUND;
}
#endif
