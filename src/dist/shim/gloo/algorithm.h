// Stands in for gloo's own header, which the wheel of torch lacks; nothing of it is used through c10d.
#pragma once
