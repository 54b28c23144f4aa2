"""Spanish. The same keys as `portalsec.auth.notice_words.en`."""

from __future__ import annotations

LETTERS = {
    "signed_in": (
        "Ha iniciado sesión",
        "Alguien ha iniciado sesión en su cuenta desde un navegador que usted ya había usado.",
    ),
    "new_device": (
        "Nuevo inicio de sesión en su cuenta",
        "Alguien ha iniciado sesión en su cuenta desde un navegador que usted no había usado aquí.",
    ),
    "unfinished_sign_in": (
        "Alguien conoce su contraseña",
        "Alguien ha escrito su contraseña correcta y después no ha terminado de iniciar sesión. Nadie ha entrado. Si "
        "fue usted y lo dejó a medias, todo está bien. Si no, otra persona conoce su contraseña.",
    ),
    "locked": (
        "Muchas contraseñas incorrectas",
        "Alguien ha probado muchas contraseñas incorrectas en su cuenta. Durante un tiempo no se puede entrar desde un "
        "navegador nuevo; desde uno que usted ya haya usado, sí. Nadie ha entrado así.",
    ),
    "password_changed": ("Se ha cambiado su contraseña", "Se ha cambiado la contraseña de su cuenta."),
    "password_reset": (
        "Se ha restablecido su contraseña",
        "Se ha elegido una contraseña nueva para su cuenta mediante un enlace que enviamos por correo.",
    ),
    "password_required": (
        "Elija una contraseña nueva la próxima vez",
        "Le pedimos que elija una contraseña nueva la próxima vez que inicie sesión. Abra el portal como siempre; no "
        "hace falta ningún enlace de un correo.",
    ),
    "factor_added": (
        "Se ha añadido un segundo paso",
        "Se ha añadido un autenticador a su cuenta: ahora también se pide su código al iniciar sesión.",
    ),
    "factor_removed": (
        "Se ha quitado un segundo paso",
        "Se ha quitado un autenticador de su cuenta.",
    ),
    "factor_restored": (
        "Un segundo paso vuelve a contar",
        "Un autenticador que se había quitado de su cuenta en el último día vuelve a contar.",
    ),
    "factor_renamed": (
        "Un autenticador suyo tiene otro nombre",
        "Se ha cambiado el nombre de uno de sus autenticadores en su lista. Funciona como antes.",
    ),
    "factor_disabled": (
        "Un autenticador suyo ya no sirve",
        "Alguien que conoce su contraseña ha probado demasiados códigos incorrectos de su autenticador, así que ha quedado "
        "desactivado para siempre. Entre con otro o con un código de recuperación, elija una contraseña nueva y configure "
        "un autenticador nuevo.",
    ),
    "recovery_code_used": (
        "Se ha usado un código de recuperación",
        "Alguien ha usado uno de sus códigos de recuperación para entrar en su cuenta.",
    ),
    "recovery_codes_made": (
        "Hay códigos de recuperación nuevos",
        "Se han creado códigos de recuperación nuevos para su cuenta. Los anteriores ya no abren nada.",
    ),
    "recovery_codes_few": (
        "Le quedan pocos códigos de recuperación",
        "Le quedan pocos códigos de recuperación. Cree otros después de iniciar sesión, mientras tenga a mano su "
        "autenticador.",
    ),
    "recovery_codes_removed": (
        "Sus códigos de recuperación ya no abren nada",
        "Alguien ha indicado, para su cuenta, que algo no lo hizo usted. Con ello se han quitado los códigos de recuperación "
        "creados desde entonces: tírelos. Después de iniciar sesión, cree otros y guárdelos donde los encuentre.",
    ),
    "account_unlocked": (
        "Se ha desbloqueado su cuenta",
        "Se ha desbloqueado su cuenta: se puede volver a entrar desde navegadores nuevos.",
    ),
    "break_glass": (
        "Se ha abierto su historial por una urgencia",
        "Alguien que normalmente no puede ver su historial lo ha abierto indicando una urgencia. Cada uno de estos "
        "accesos se revisa. Al iniciar sesión puede ver quién fue y cuándo.",
    ),
    "contact_added": (
        "Se ha añadido una dirección de correo",
        "Se ha añadido una dirección de correo a su cuenta. Desde ahora recibe mensajes como este.",
    ),
    "contact_removed": (
        "Se ha quitado una dirección de correo",
        "Se ha quitado una dirección de correo de su cuenta. Después de este mensaje ya no recibe más.",
    ),
    "device_removed": (
        "Se ha olvidado un navegador",
        "Se ha olvidado un navegador que su cuenta conocía. La próxima vez contará como un navegador nuevo.",
    ),
    "device_reused": (
        "Puede que alguien haya copiado un navegador suyo",
        "Hemos visto una copia antigua de lo que guardamos en su navegador para reconocerlo. Ese navegador queda "
        "olvidado. Si lo restauró de una copia de seguridad, todo está bien. Si no, alguien puede haber copiado datos "
        "de su ordenador.",
    ),
    "device_trusted": (
        "Un navegador es de confianza desde ahora",
        "Alguien que había iniciado sesión en su cuenta ha pedido que confiemos en el navegador que usaba: durante un "
        "tiempo, entrar desde él puede pedir menos. Puede anularlo cuando quiera.",
    ),
    "factor_reset_by_support": (
        "Nuestro servicio de ayuda ha restablecido su segundo paso",
        "Nuestro servicio de ayuda ha quitado el autenticador de su cuenta porque alguien dijo que lo había perdido. "
        "Su contraseña tampoco sirve ya: otro correo trae un enlace para elegir una nueva. Después se configura un "
        "autenticador nuevo.",
    ),
    "impersonated": (
        "Nuestro servicio de ayuda ha mirado su cuenta",
        "Una persona de nuestro servicio de ayuda ha abierto el portal en su nombre para atender una petición. Ve lo que "
        "ve usted; no puede cambiar su contraseña, su segundo paso ni su correo electrónico. Termina por sí solo al poco "
        "tiempo y, mientras dura, aparece entre sus sesiones, donde puede terminarlo.",
    ),
    "account_disabled": (
        "Su cuenta está desactivada",
        "Su cuenta se ha desactivado. Nadie puede entrar en ella hasta que la activemos de nuevo.",
    ),
    "account_closed": (
        "Su cuenta está cerrada",
        "Su cuenta se ha cerrado a petición de alguien que había iniciado sesión y conocía la contraseña.",
    ),
    "dormant": (
        "Su cuenta se desactivará pronto",
        "Hace mucho que nadie inicia sesión en su cuenta. Las cuentas que nadie usa se desactivan para que nadie más "
        "pueda usarlas. Para conservarla, abra el portal como siempre e inicie sesión.",
    ),
    "request.reset": (
        "Elija una contraseña nueva",
        "Alguien ha pedido una contraseña nueva para su cuenta. Si fue usted, abra la página de abajo y elija una. Si "
        "no, no haga nada: su contraseña sigue siendo la misma.",
    ),
    "request.verify": (
        "¿Es esta su dirección de correo?",
        "Alguien quiere recibir en esta dirección el correo de una cuenta de {portal}. Si fue usted, abra la página de "
        "abajo para confirmarlo. Si no, no haga nada.",
    ),
    "request.unlock": (
        "Desbloquee su cuenta",
        "Alguien ha pedido desbloquear su cuenta. Si fue usted, abra la página de abajo. Si no, no haga nada.",
    ),
    "request.register": (
        "Su cuenta nueva",
        "Alguien ha pedido una cuenta en {portal} con esta dirección. Si fue usted, abra la página de abajo para "
        "continuar. Si no, no haga nada: sin ello no habrá cuenta.",
    ),
    "request.code": (
        "Su código para iniciar sesión",
        "Alguien que conoce su contraseña está iniciando sesión en su cuenta. Si es usted, escriba el código de abajo en "
        "la página que lo pide, y en ningún otro sitio. Si no, no se lo diga a nadie y cambie su contraseña.",
    ),
    "request.sign_in": (
        "Su enlace para iniciar sesión",
        "Alguien quiere iniciar sesión en su cuenta. Si es usted, abra la página de abajo en el navegador en el que lo pidió: "
        "solo funciona allí, una vez y durante diez minutos. Si no, no haga nada y no le dé el enlace a nadie.",
    ),
}

PHRASES = {
    "registered_subject": "Ya tiene una cuenta",
    "registered": "Alguien ha pedido una cuenta en {portal} con esta dirección. Ya hay una, así que no ha cambiado nada. "
    "Si fue usted, abra {portal} como siempre e inicie sesión; si olvidó su contraseña, pulse allí «Contraseña "
    "olvidada». Si no fue usted, no haga nada.",
    "when": "Cuándo",
    "browser": "Navegador",
    "place": "Red",
    "code": "Este mensaje",
    "go_on": "Abra esta página para continuar",
    "works_once": "La página funciona una sola vez y durante poco tiempo.",
    "sign_in_code": "Código",
    "code_lives": "El código sirve una sola vez, durante diez minutos como mucho y solo en el navegador que lo pidió.",
    "code_nobody": "Nadie de {portal} le pedirá nunca que le diga este código.",
    "undo": "Para deshacer solo este cambio, abra esta página en un plazo de 24 horas y confírmelo allí",
    "not_me": "¿No fue usted? Abra esta página y confírmelo allí",
    "not_me_then": "Así se cierran todas las sesiones de su cuenta, se pide una contraseña nueva y lo investigamos.",
    "not_me_plain": "¿No fue usted? Abra {portal} como siempre, inicie sesión y vaya a «Qué ha pasado en su cuenta», "
    "en «Mi cuenta»: hay un botón que dice «No fui yo».",
    "genuine": "¿Es realmente nuestro este correo? Abra {portal} como siempre, inicie sesión y vaya a «Mensajes que le "
    "hemos enviado», en «Mi cuenta». Allí encontrará este mensaje como {code}. Nunca pedimos por correo su contraseña ni un código.",
    "genuine_stranger": "Nunca pedimos por correo su contraseña ni un código.",
}

MONTHS = (
    "enero",
    "febrero",
    "marzo",
    "abril",
    "mayo",
    "junio",
    "julio",
    "agosto",
    "septiembre",
    "octubre",
    "noviembre",
    "diciembre",
)
MOMENT = "{day} de {month} de {year}, {time} UTC"
