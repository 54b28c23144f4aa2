"""Spanish."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["SENTENCES"]

SENTENCES: Mapping[str, str] = MappingProxyType(
    {
        # what must be mended
        "too_short": "Use al menos {least} caracteres; esta contraseña tiene {length}. "
        "Unas cuantas palabras que no tengan relación entre sí son fáciles de recordar.",
        "too_long": "Use como máximo {most} caracteres; esta contraseña tiene {length}.",
        "unprintable": "Quite tabuladores, saltos de línea y otros signos que no se ven o que aquí no se conocen.",
        "blank": "Use palabras u otros caracteres que se vean: solo espacios no son una contraseña.",
        "needs_letter": "Añada una letra.",
        "needs_digit": "Añada un número.",
        "needs_symbol": "Añada un símbolo, por ejemplo ! o -. Un espacio también cuenta.",
        "common": "Esta contraseña está en las listas que los atacantes prueban primero. "
        "Elija una que nadie más use: unas cuantas palabras que no tengan relación entre sí.",
        "breached": "Los atacantes tienen esta contraseña en sus listas: se filtró en algún sitio o la usa mucha gente. "
        "Elija otra y cámbiela también en los demás sitios donde la use.",
        "personal": "Esta contraseña está hecha con sus propios datos o con el nombre del portal, "
        "que es lo que los atacantes prueban primero. Elija palabras que no tengan nada que ver con usted.",
        "guessable": "Esta contraseña se adivinaría pronto. Añada una o dos palabras que nadie esperaría.",
        "same": "Esta es su contraseña actual. Elija una nueva.",
        "reused": "Ya usó esta contraseña antes. Elija una que nunca haya usado aquí.",
        "unchecked_refused": "Ahora mismo no hemos podido comprobar si esta contraseña se ha filtrado. "
        "No se ha cambiado nada. Vuelva a intentarlo dentro de unos minutos.",
        # what would make it better
        "advice_personal": "No use sus propios datos ni el nombre del portal: los atacantes los prueban primero.",
        "advice_repeat": "Repetir palabras o letras apenas ayuda. Añada una palabra distinta.",
        "advice_sequence": "Las series como abc o 6543 apenas ayudan. Añada mejor una palabra.",
        "advice_spatial": "Las filas de teclas como qwerty apenas ayudan. Añada mejor una palabra.",
        "advice_date": "Las fechas son fáciles de adivinar. Añada mejor una palabra.",
        "advice_year": "Los años son fáciles de adivinar. Añada mejor una palabra.",
        "advice_dictionary": "Las palabras y los nombres comunes se prueban primero. "
        "Añada una o dos palabras que nadie esperaría.",
        "advice_longer": "Añada una o dos palabras más: lo que más ayuda es la longitud.",
        "advice_other_keyboards": "Algunos teclados no pueden escribir todos estos caracteres. "
        "Asegúrese de que puede escribirlos en todos los dispositivos que usa.",
        "unchecked": "Al guardarla comprobaremos si esta contraseña se ha filtrado.",
        # how strong it is
        "score_0": "Muy débil",
        "score_1": "Débil",
        "score_2": "Regular",
        "score_3": "Buena",
        "score_4": "Fuerte",
    }
)
