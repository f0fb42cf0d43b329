/* checker_places.cpp - lines come from the debugging information, by way of addr2line, when a
 * report is written. */
#include "tests/emulator/checker_places.h"

#include <algorithm>
#include <link.h>
#include <map>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace emulator {

const uint32_t is_site = 1u << 31;

static struct {
    uintptr_t base, begin, end; /* the image that this file is part of */
    std::string path;
    std::vector<site> sites;
    std::map<uint32_t, std::string> lines; /* of instructions that were asked for */
} state;

static int find_image(dl_phdr_info *info, size_t, void *) {
    uintptr_t begin = UINTPTR_MAX, end = 0, own = (uintptr_t)&state;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_LOAD) {
            uintptr_t at = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
            begin = at < begin ? at : begin;
            end = at + info->dlpi_phdr[i].p_memsz > end ? at + info->dlpi_phdr[i].p_memsz : end;
        }
    if (own < begin || own >= end)
        return 0;
    state.base = info->dlpi_addr;
    state.begin = begin;
    state.end = end;
    state.path = info->dlpi_name[0] ? info->dlpi_name : "/proc/self/exe";
    return 1;
}

static void need_image() {
    if (!state.end)
        dl_iterate_phdr(find_image, nullptr);
}

bool place_in_image(const void *at) {
    need_image();
    return (uintptr_t)at >= state.begin && (uintptr_t)at < state.end;
}

uint32_t place_of_return_address(const void *address) {
    need_image();
    return (uint32_t)((uintptr_t)address - 1 - state.base); /* in the call, not behind it */
}

uint32_t place_of_site(site at) {
    for (size_t i = 0; i < state.sites.size(); i++)
        if (state.sites[i].line == at.line && state.sites[i].file == at.file)
            return is_site | (uint32_t)i;
    state.sites.push_back(at);
    return is_site | (uint32_t)(state.sites.size() - 1);
}

/* What addr2line says of an offset: the innermost function's line first, then who it is inlined
 * into. */
static std::string run_addr2line(uint32_t offset) {
    int ends[2];
    char address[32], process[64];
    snprintf(address, sizeof address, "%#x", offset);
    snprintf(process, sizeof process, "/proc/%d/exe", (int)getpid());
    const char *path = state.path == "/proc/self/exe" ? process : state.path.c_str();
    const char *arguments[] = {"addr2line", "-i", "-e", path, address, nullptr};
    if (pipe(ends) != 0)
        return "";
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    pid_t child;
    int failed = posix_spawnp(&child, arguments[0], &actions, nullptr,
                              const_cast<char *const *>(arguments), environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    std::string text;
    char piece[512];
    for (ssize_t n; !failed && (n = read(ends[0], piece, sizeof piece)) > 0;)
        text.append(piece, (size_t)n);
    close(ends[0]);
    if (!failed)
        waitpid(child, nullptr, 0);
    return text;
}

/* "../../kernels/cuda/norm.cu:12 (discriminator 3)" from its first folder to its line. */
static std::string shorten(std::string line) {
    size_t up = line.rfind("/../");
    if (up != std::string::npos)
        line.erase(0, up + strlen("/../"));
    return line.substr(0, line.find(" (discriminator"));
}

static std::string describe_instruction(uint32_t offset) {
    std::string lines = run_addr2line(offset), text;
    for (size_t at = 0; at < lines.size();) {
        size_t end = std::min(lines.find('\n', at), lines.size());
        std::string line = lines.substr(at, end - at);
        at = end + 1;
        if (line.find("tests/emulator/include/") == std::string::npos && line[0] != '?')
            text += (text.empty() ? "" : ", inlined at ") + shorten(line);
    }
    char unknown[64];
    snprintf(unknown, sizeof unknown, "offset %#x", offset);
    return text.empty() ? unknown : text;
}

std::string place_describe(uint32_t place) {
    if (!(place & is_site)) {
        std::string &line = state.lines[place];
        return line.empty() ? line = describe_instruction(place) : line;
    }
    const site &at = state.sites[place & ~is_site];
    return std::string(at.file ? at.file : "?") + ":" + std::to_string(at.line);
}

} // namespace emulator
