/* Which ebru this is: project(VERSION) of the CMakeLists.txt in the root states it, nothing
 * else. */
#ifndef EBRU_DRIVER_VERSION_H
#define EBRU_DRIVER_VERSION_H

extern const char drv_version[];      /* "1.2.3" */
extern const char drv_version_date[]; /* when it was released, "2026-01-31": for manual pages */

#endif
