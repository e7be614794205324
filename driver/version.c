#include "driver/version.h"

const char drv_version[] = EBRU_VERSION;
const char drv_version_date[] = EBRU_VERSION_DATE;
