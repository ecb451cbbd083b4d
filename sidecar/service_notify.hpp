// What does systemd want to hear? READY, STOPPING, WATCHDOG, a status line. Without systemd nothing happens.
#pragma once

#include <string>

namespace objectlink::service_notify {

void ready();  // once: the daemon waits for work (also when the database is down: it starts by itself later)
void stopping();
void status(const std::string& text);  // shown by systemctl status; no secrets
void watchdog();                       // call as often as you like: sent at half the interval systemd asked for

}  // namespace objectlink::service_notify
