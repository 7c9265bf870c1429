#include <karyon/layers/call_observer.h>

namespace karyon {
namespace {

thread_local CallObserver* observer = nullptr;

}  // namespace

CallObserver::CallObserver() : before_(observer) { observer = this; }
CallObserver::~CallObserver() { observer = before_; }
CallObserver* CallObserver::current() { return observer; }

}  // namespace karyon
